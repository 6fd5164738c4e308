package lab

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/midplane-project/midplane/deploy/lab/topology"
	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/node"
)

// Every controller has a loopback address of its own, 127.77.ID.SLOT, the shelf
// manager slot 0. The last one of a shelf is nobody's: who brings the shelf up
// holds it meanwhile, so that two at once, in two homes, choose two ids.
const (
	managerHost = 0
	claimHost   = 255
	maxID       = 254
)

// Ports of the doors: IPMI's own needs CAP_NET_BIND_SERVICE as a rule.
const (
	lanPort    = 623
	lanPortAny = 6230
)

func lanHost(id, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 77, byte(id), byte(host)})
}

// NodeLAN is where a node's LAN door is; not valid when it has none.
func (l *Lab) NodeLAN(n topology.Node) netip.AddrPort {
	return l.lanAddress(n.LAN.On(), n.LAN.Listen, n.Slot)
}

// NodeLANNow is where a node's LAN door is since IPMI commands moved it.
func (l *Lab) NodeLANNow(n topology.Node) netip.AddrPort {
	a := l.NodeLAN(n)
	if now := node.LANAddress(l.NodeDir(n.Name)); a.IsValid() && now.IsValid() {
		return now
	}
	return a
}

func (l *Lab) lanAddress(on bool, listen string, host int) netip.AddrPort {
	switch {
	case !on:
		return netip.AddrPort{}
	case listen != "":
		a, _ := netip.ParseAddrPort(listen) // checked when shelf.yaml was read
		return a
	case l.LANPort == 0: // it was never up with one
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(lanHost(l.ID, host), uint16(l.LANPort))
}

// lanDoor is one door that the shelf will have.
type lanDoor struct {
	target Target
	addr   netip.AddrPort
}

// lanDoors lists the doors that the shelf will have.
func (l *Lab) lanDoors() (all []lanDoor) {
	if a := l.ManagerLAN(); a.IsValid() {
		all = append(all, lanDoor{shelfTarget(), a})
	}
	for i := range l.Topology.Nodes {
		n := &l.Topology.Nodes[i]
		if a := l.NodeLAN(*n); a.IsValid() {
			all = append(all, lanDoor{nodeTarget(n), a})
		}
	}
	return all
}

// lanHosts are the hosts of the shelf's addresses that doors have unless
// shelf.yaml says otherwise.
func (l *Lab) lanHosts() (hosts []int) {
	for _, n := range l.Topology.Nodes {
		if n.LAN.On() && n.LAN.Listen == "" {
			hosts = append(hosts, n.Slot)
		}
	}
	if !l.Topology.LAN.Off && l.Topology.LAN.Listen == "" {
		hosts = append(hosts, managerHost)
	}
	return hosts
}

// chooseLAN chooses the shelf's id and the port of its doors: those of the
// shelf file, else those of last time, else the first whose addresses are free.
// What runs keeps what it has.
func (l *Lab) chooseLAN(say Say) error {
	t, old := l.Topology, l.ID
	ids, err := l.candidateIDs()
	if err != nil {
		return err
	}
	ports := []int{lanPort, lanPortAny}
	switch {
	case t.LAN.Port != 0:
		ports = []int{t.LAN.Port}
	case l.LANPort != 0:
		ports = []int{l.LANPort}
	}
	hosts := l.lanHosts()
	if len(hosts) == 0 {
		l.ID = ids[0]
		return nil
	}
	if len(l.livingNames()) > 0 && l.LANPort == ports[0] && l.ID == ids[0] {
		return nil
	}
	var last error
	for _, port := range ports {
		for _, id := range ids {
			claim, err := claimLAN(id, port, hosts)
			if err == nil {
				if old != 0 && id != old && t.ID == 0 {
					say("○ id %d from now on: of the addresses 127.77.%d.* somebody else has some", id, old)
				}
				l.ID, l.LANPort, l.claim = id, port, claim
				return nil
			}
			if last = err; errors.Is(err, fs.ErrPermission) {
				break // another port
			}
		}
	}
	return lanProblem("the shelf's LAN doors cannot have their addresses", "", last)
}

// candidateIDs lists what the shelf's id may be, the best first.
func (l *Lab) candidateIDs() ([]int, error) {
	if l.Topology.ID != 0 {
		return []int{l.Topology.ID}, nil
	}
	taken, err := l.takenIDs()
	if err != nil {
		return nil, err
	}
	var ids []int
	if l.ID != 0 {
		ids = append(ids, l.ID)
	}
	for id := 1; id <= maxID; id++ {
		if id != l.ID && !slices.Contains(taken, id) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, problem.Refusedf("midplane down --purge --shelf NAME frees one; midplane ls lists them", "all ids from 1 to %d belong to shelves", maxID)
	}
	return ids, nil
}

// claimLAN makes sure that the addresses of an id are free, and holds its claim.
func claimLAN(id, port int, hosts []int) (claim net.PacketConn, err error) {
	at := func(host int) netip.AddrPort { return netip.AddrPortFrom(lanHost(id, host), uint16(port)) }
	if claim, err = net.ListenPacket("udp", at(claimHost).String()); err != nil {
		return nil, err
	}
	for _, host := range hosts {
		if err := tryLAN(at(host)); err != nil {
			return nil, errors.Join(err, claim.Close())
		}
	}
	return claim, nil
}

// tryLAN opens a socket where a door will be.
func tryLAN(a netip.AddrPort) error {
	conn, err := net.ListenPacket("udp", a.String())
	if err != nil {
		return err
	}
	return conn.Close()
}

// endClaim lets others have the id, if its addresses are free again.
func (l *Lab) endClaim() {
	if l.claim != nil {
		_ = l.claim.Close() // nothing came by it
		l.claim = nil
	}
}

// checkLAN makes sure that nobody else has the address of a door that is about
// to be opened.
func (l *Lab) checkLAN() error {
	open, whose := l.openDoors(), map[netip.AddrPort]string{}
	for _, d := range l.lanDoors() {
		if other, twice := whose[d.addr]; twice {
			return lanProblem("the LAN doors of "+other+" and "+d.target.Name+" are at one address", d.addr.String(), nil)
		}
		whose[d.addr] = d.target.Name
		if slices.Contains(open, d.addr.String()) {
			continue
		}
		if err := tryLAN(d.addr); err != nil {
			return lanProblem("the LAN door of "+d.target.Name+" cannot have its address", d.addr.String(), err)
		}
	}
	return nil
}

// livingNames lists the processes that run, or are about to.
func (l *Lab) livingNames() []string {
	s, err := l.dir().Supervisor()
	if err != nil {
		return l.runningNames()
	}
	s.Close()
	plan, _ := l.dir().Plan() // without one there is nobody
	var names []string
	for _, p := range plan.Processes {
		names = append(names, p.Name)
	}
	return names
}

// openDoors are the addresses that daemons of the shelf have, by their own
// files.
func (l *Lab) openDoors() (all []string) {
	for _, name := range l.livingNames() {
		var one Compact
		if short, ok := cutNode(name); ok {
			one.Nodes = make([]node.Config, 1)
			_ = jsonfile.Read(configPath(l.NodeDir(short), "node"), &one.Nodes[0]) // else it has none
		}
		if name == frontName {
			_ = jsonfile.Read(configPath(l.StateDir, frontName), &one.Front)
		}
		if name == compactName {
			_ = jsonfile.Read(configPath(l.StateDir, compactName), &one)
		}
		for _, c := range one.Nodes {
			all = append(all, c.LAN.Listen)
		}
		if one.Front != nil {
			all = append(all, one.Front.Listen)
		}
	}
	return all
}

func lanProblem(what, where string, err error) error {
	e := &problem.Error{
		Code: problem.Failed, What: what, Where: where, Why: err,
		Do: "end what listens there (ss -lunp), or set id or lan in shelf.yaml",
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		e.Do = "set lan: {port: 6230} in shelf.yaml: lower ports need CAP_NET_BIND_SERVICE"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		e.Do = "set lan in shelf.yaml to an address of this machine"
	case err == nil:
		e.Do = "set listen of one in shelf.yaml to another address"
	}
	return e
}
