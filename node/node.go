package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/internal/link"
	"github.com/midplane-project/midplane/internal/tap"
	"github.com/midplane-project/midplane/internal/version"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/power/agent"
	"github.com/midplane-project/midplane/node/uplink"
	"github.com/midplane-project/midplane/node/vm"
)

// Files in a node's directory.
const (
	storeFile   = "node.db"
	consoleFile = "console.log"
	ledgerFile  = "node.ledger"
	vmDir       = "vm"
)

// Options are what a node's surroundings give it.
type Options struct {
	Log *slog.Logger
	// Dial connects to a replica's backplane. Nil on a standalone node.
	Dial link.Dialer
	// VM accepts connections of the VM, beside those that the configuration
	// names; nil for none.
	VM net.Listener
	// Tap sees each frame that leaves for the bus, and each that came from it
	// and was not fenced off; nil: nobody looks. It must not block.
	Tap func(m ipmb.Message, arrives bool)
	// Successor accepts the process that takes the node over; see
	// ListenSuccessor. Nil for none. Run closes it.
	Successor net.Listener
	// Handover is what TakeOver gave; nil for a start of its own. Run owns it.
	Handover *Handover

	beforeSync func() error // kv.Options.BeforeSync of the store
}

// Node is a controller with its doors and its VM.
type Node struct {
	cfg        Config
	log        *slog.Logger
	db         *kv.DB
	ledger     *ledger
	left       []record // that were in the ledger
	settings   settings
	controller *Controller
	door       *vm.Door
	host       *host
	swap       *hotSwap       // nil: no ATCA board
	driver     power.Driver   // nil when only the VM protocol reaches the VM
	machine    *power.Machine // the driver, nil when somebody else starts the VM
	console    *power.Console // nil without a VM of the node's own
	agent      *agent.Client  // nil without a VM of the node's own
	uplink     *uplink.Uplink // nil on a standalone node
	outbox     *uplink.Outbox // likewise
	ways       chan struct{}  // one slot: a stream of the uplink came or went
	serials    []*serialPort
	out        wire
	hub        tap.Hub
	faultIDs   atomic.Uint32 // of the door's faults and the sensors'
	opt        Options
	heir       *heir         // nil until another process takes over
	resumed    chan struct{} // closed when the connection that was handed over, if any, is the door's
}

// New opens a node's state and builds it; Run gives it life.
func New(cfg Config, opt Options) (*Node, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if cfg.Standalone() {
		cfg.Profile = ProfileServer
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, log: opt.Log.With("node", cfg.Name), opt: opt, resumed: make(chan struct{}), ways: make(chan struct{}, 1)}
	if err := n.open(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) open() (err error) {
	if n.db, err = openStore(n.cfg.Dir, n.storeOptions()); err != nil {
		return err
	}
	if n.settings, err = (store{n.db}).start(); err != nil {
		return err
	}
	if n.ledger, n.left, err = openLedger(filepath.Join(n.cfg.Dir, ledgerFile)); err != nil {
		return err
	}
	if err := errors.Join(n.openVM(), n.openConsole()); err != nil {
		return err
	}
	if n.host.life, err = openLife(records{n.db}, n.log); err != nil {
		return err
	}
	if n.host.life.hostBoot, err = power.HostBoot(); err != nil {
		n.log.Warn("restarts of the host go unseen", "err", err)
	}
	return n.connect()
}

// openVM takes hold of the VM that the node starts, if it does.
func (n *Node) openVM() (err error) {
	switch {
	case n.cfg.Power != nil:
		n.driver = n.cfg.Power.Open(power.Target{Slot: n.cfg.Slot, Name: n.cfg.Name, UUID: n.settings.instance.String()}, n.log)
		fallthrough
	case n.cfg.VM == nil:
		n.host = n.newHost()
		return nil
	}
	spec := *n.cfg.VM
	n.machine, err = power.NewMachine(power.MachineConfig{Spec: spec, Dir: filepath.Join(n.cfg.Dir, vmDir), Log: n.log})
	if err != nil {
		return err
	}
	n.driver = n.machine
	n.host = n.newHost()
	if spec.AgentSocket != "" {
		n.agent = agent.New(spec.AgentSocket, 0)
	}
	return nil
}

func (n *Node) newHost() *host {
	h := newHost(n.driver, n.cfg.Dir, n.settings.wanted, n.saveWanted, n.log)
	h.managed = n.cfg.Power != nil && n.cfg.Power.Manages()
	h.granted, h.saveGranted = n.settings.granted, store{n.db}.saveGranted
	h.onGuestPoweroff = n.cfg.OnGuestPoweroff
	return h
}

func (n *Node) saveWanted(on bool) error { return store{n.db}.saveWanted(on) }

// connect builds the controller between its doors.
func (n *Node) connect() (err error) {
	p := parts{
		db: n.db, ledger: n.ledger, left: n.left, settings: n.settings, out: &n.out, vm: supply{n.host}, life: n.host.life, log: n.log,
		network:  network{dial: dialUDP},
		canCycle: n.driver != nil, watchdogClock: n.cfg.WatchdogClock, sel: n.cfg.SEL,
		leaves: n.cfg.OnGuestPoweroff == GuestPoweroffDeactivate,
	}
	if p.network.alerts, err = alertAddresses(n.cfg.Alerts); err != nil {
		return err
	}
	if !n.cfg.Standalone() {
		if n.outbox, err = uplink.OpenOutbox(n.db); err != nil {
			return err
		}
		p.outbox = n.outbox
	}
	if err := n.equip(&p); err != nil {
		return err
	}
	n.serials = n.cfg.serialPorts()
	if n.controller, err = newController(n.identity(), p); err != nil {
		return err
	}
	n.controller.access.lan.Refused = n.auditLAN
	if err := n.openSerial(); err != nil {
		return err
	}
	var kind vm.Interface
	if n.cfg.Interface != "" { // a fan tray has none, and nobody ever comes to its door
		if kind, err = vm.ParseInterface(n.cfg.Interface); err != nil {
			return err
		}
	}
	n.door = vm.New(vm.Config{
		Handler: n.controller.Handler(), Interface: kind, Memory: n.ledger.doorMemory(), Logger: n.log, Tap: n.tapDoor,
		Origin:    ipmb.Origin{Shelf: n.cfg.Shelf, Source: n.cfg.Addr(), Instance: string(n.settings.instance[:])},
		OnConnect: n.connected, OnDisconnect: n.disconnected, FaultID: p.faultIDs,
	})
	n.host.door = n.door
	if n.console != nil {
		n.controller.access.payloads.Console = vmConsole{n}
	}
	if n.cfg.Profile != ProfileFanTray {
		n.host.watch = vmWatchers{n.controller.sensors, pefWatch{system: n.controller.pef.System}}
	}
	n.connectSwap()
	n.host.observe = n.controller.VMHappened
	n.host.life.boot.Changed = n.host.chooseBoot
	n.controller.mail.connect(n.door)
	if n.cfg.Standalone() {
		return nil
	}
	n.uplink = uplink.New(n.uplinkConfig())
	if fans := n.controller.fans; fans != nil {
		fans.follow(n.uplink.Blow)
	}
	n.out.up.Store(n.uplink)
	return nil
}

// connectSwap lets a board's hot swap follow what becomes of its VM.
func (n *Node) connectSwap() {
	if n.swap = n.controller.swap; n.swap != nil {
		n.host.watch = vmWatchers{n.host.watch, n.swap}
		n.host.leave = n.swap.leave
	}
}

// airflow is the level of the shelf's fan trays, if it has any.
func (n *Node) airflow() (level float64, ok bool) {
	if n.uplink == nil {
		return 0, false
	}
	return n.uplink.Airflow()
}

func (n *Node) uplinkConfig() uplink.Config {
	c := uplink.Config{
		Shelf: n.cfg.Shelf, HW: n.cfg.Addr().HW(), Instance: n.settings.instance, Boot: n.settings.boot,
		Name: n.cfg.Name, Profile: n.cfg.Profile, API: n.cfg.API, Version: version.Get(), DeviceID: n.controller.DeviceID(),
		Dial: n.opt.Dial, Outbox: n.outbox, Logger: n.log,
		Deliver: func(ctx context.Context, m ipmb.Message) {
			n.tapBus(m, true)
			n.controller.Deliver(ctx, m)
		},
		LeaderChanged: func(uint64, string) { n.controller.LeaderChanged() },
		WaysChanged:   n.waysChanged,
	}
	if n.console != nil {
		c.Console = n.shelfConsole
	}
	for _, r := range n.cfg.Replicas {
		c.Replicas = append(c.Replicas, uplink.Replica{Name: r.Name, Addr: r.Address})
	}
	n.out.tap = func(m ipmb.Message) { n.tapBus(m, false) }
	return c
}

func (n *Node) identity() Identity {
	id := Identity{
		Shelf: n.cfg.Shelf, Addr: n.cfg.Addr(), Name: n.cfg.Name, Profile: n.cfg.Profile, Interface: n.cfg.Interface,
		Manufacturer: n.cfg.Manufacturer, Product: n.cfg.Product,
		SystemGUID: mc.GUID(n.settings.instance), VM: n.cfg.VM != nil || len(n.cfg.Listen) > 0 || n.opt.VM != nil,
		Serial: serialChannels(n.serials), Logins: n.cfg.LAN.Settings,
	}
	if n.cfg.VM != nil {
		if u, err := uuid.Parse(n.cfg.VM.UUID); err == nil {
			id.SystemGUID = mc.GUID(u)
		}
	}
	return id
}

// Run serves until ctx ends, a door fails, or another process takes over, which
// is ErrHandedOver. The VM goes on after it.
func (n *Node) Run(ctx context.Context) error {
	lan, err := n.listenLAN()
	if err != nil {
		return err
	}
	listeners, err := n.listen()
	if err != nil {
		return errors.Join(err, closeLAN(lan))
	}
	n.controller.Resume()
	g, ctx := errgroup.WithContext(ctx)
	for _, ln := range listeners {
		g.Go(func() error { return n.door.Serve(ctx, ln) })
	}
	if lan != nil {
		g.Go(func() error { return lan.Serve(ctx) })
	}
	g.Go(func() error { return n.reachVM(ctx) })
	g.Go(func() error { return n.serveSerial(ctx) })
	g.Go(func() error { return n.host.run(ctx) })
	g.Go(func() error { return n.controller.sensors.measure(ctx) })
	if n.machine != nil {
		events := n.machine.Subscribe(64)
		defer events.Cancel()
		g.Go(func() error { return watchResets(ctx, events, n.controller.access.systemReset, n.log) })
	}
	if n.opt.Handover == nil || n.opt.Handover.file == nil {
		close(n.resumed)
	}
	if n.opt.Successor != nil {
		g.Go(func() error { return n.awaitHeir(ctx, n.opt.Successor) })
	}
	if n.uplink != nil {
		g.Go(func() error { return n.uplink.Run(ctx) })
		g.Go(func() error { return n.watchLink(ctx) })
	}
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// listen opens the sockets for VMs that somebody else starts.
func (n *Node) listen() (out []net.Listener, err error) {
	for _, l := range n.cfg.Listen {
		ln, err := l.open()
		if err != nil {
			for _, open := range out {
				_ = open.Close()
			}
			return nil, fmt.Errorf("listen for the VM: %w", err)
		}
		out = append(out, ln)
	}
	if n.opt.VM != nil {
		out = append(out, n.opt.VM)
	}
	return out, nil
}

// connected is told of each link of the VM's.
func (n *Node) connected(l vm.Link) {
	if l.Resumed {
		close(n.resumed)
	}
	if n.machine == nil {
		n.controller.sensors.vmBegins(power.Running)
	}
	if n.driver == nil || n.driver.State() == power.Unknown { // nobody else can tell how it was found
		n.controller.VMHappened(power.Event{State: power.Running}, false)
	}
	n.controller.spawn(n.host.connected)
}

// disconnected is told of each link of the VM's that is lost. Of a VM that
// somebody else starts nothing is known without one.
func (n *Node) disconnected(vm.Link) {
	if n.machine == nil && !n.host.On() {
		n.controller.sensors.vmLost()
		if n.swap != nil && n.driver == nil {
			n.swap.look() // nobody else can tell that the VM has ended
		}
	}
}

// reachVM goes on with the connection that was handed over, and keeps one to
// the VM that the node starts.
func (n *Node) reachVM(ctx context.Context) error {
	if h := n.opt.Handover; h != nil {
		if err := n.door.Resume(ctx, h.state, h.file); err != nil {
			n.log.Warn("VM's connection not taken over", "err", err)
			close(n.resumed)
		}
	}
	if n.cfg.VM == nil {
		return nil
	}
	return n.door.Dial(ctx, "unix", n.cfg.VM.VMSocket.Path)
}

// Close ends the doors so that the guest notices as little as can be, keeps
// what waits for it, lets go of the VM, and hands over to who asked for that.
func (n *Node) Close() error {
	var all []error
	if n.door != nil {
		all = append(all, n.door.Close())
	}
	if n.controller != nil {
		n.controller.Close()
	}
	if n.agent != nil {
		all = append(all, n.agent.Close())
	}
	if n.console != nil {
		all = append(all, n.console.Close())
	}
	if n.driver != nil {
		all = append(all, n.driver.Close())
	}
	if n.ledger != nil {
		all = append(all, n.ledger.close())
	}
	if n.db != nil {
		all = append(all, n.db.Close())
	}
	if n.heir != nil {
		all = append(all, n.heir.send())
		n.heir = nil
	}
	return errors.Join(all...)
}
