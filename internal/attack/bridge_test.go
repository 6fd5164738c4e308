package attack

import (
	"fmt"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
)

// order is what an attacker would have another controller do.
type order struct {
	name string
	n    ipmb.NetFn
	cmd  ipmb.Cmd
	data []byte
}

var orders = []order{
	{"power off", ipmb.NetFnChassis, 0x02, []byte{0}},
	{"power cycle", ipmb.NetFnChassis, 0x02, []byte{2}},
	{"boot from elsewhere", ipmb.NetFnChassis, 0x08, []byte{5, 0x80, 4, 0, 0, 0}},
	{"set FRU activation", ipmb.NetFnGroup, 0x0C, []byte{0, 0, 0}},
	{"set FRU activation policy", ipmb.NetFnGroup, 0x0A, []byte{0, 0, 1, 1}},
	{"FRU control", ipmb.NetFnGroup, 0x04, []byte{0, 0, 0}},
	{"set power level", ipmb.NetFnGroup, 0x11, []byte{0, 0, 0, 0}},
	{"clear SEL", ipmb.NetFnStorage, 0x47, []byte{1, 0, 'C', 'L', 'R', 0xAA}},
	{"delete SEL entry", ipmb.NetFnStorage, 0x46, []byte{0, 0, 0, 0}},
	{"set SEL time", ipmb.NetFnStorage, 0x49, []byte{1, 2, 3, 4}},
	{"write FRU", ipmb.NetFnStorage, 0x12, []byte{0, 0, 0, 0xFF}},
	{"set user name", ipmb.NetFnApp, 0x45, append([]byte{4}, "mallory\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)},
	{"set user password", ipmb.NetFnApp, 0x47, append([]byte{2, 2}, "mallory's, too.."...)},
	{"enable user", ipmb.NetFnApp, 0x47, []byte{4, 1}},
	{"set user access", ipmb.NetFnApp, 0x43, []byte{0x91, 4, 4}},
	{"set channel access", ipmb.NetFnApp, 0x40, []byte{1, 0x40, 0x44}},
	{"set LAN address", ipmb.NetFnTransport, 0x01, []byte{1, 3, 10, 0, 0, 1}},
	{"set thresholds", ipmb.NetFnSensor, 0x26, []byte{0x20, 8, 0, 0, 0, 1, 0, 0}},
	{"force sensor", ipmb.NetFnSensor, 0x30, []byte{0x20, 1, 0xFF, 0, 0, 0, 0, 0, 0, 0}},
	{"set event receiver", ipmb.NetFnSensor, 0x00, []byte{0xFF, 0}},
	{"start watchdog", ipmb.NetFnApp, 0x24, []byte{4, 1, 0, 0, 1, 0}},
	{"cold reset", ipmb.NetFnApp, 0x02, nil},
}

// to gives the frame of an order for one controller.
func (o order) to(to ipmb.Addr) []byte { return frame(to, 0x81, 21, o.n, o.cmd, o.data...) }

// wrapped puts a frame into a Send Message for another controller.
func wrapped(to ipmb.Addr, inner []byte) []byte {
	return frame(to, 0x81, 22, ipmb.NetFnApp, ipmb.CmdSendMessage, append([]byte{0x40}, inner...)...)
}

// ways are how an order can be sent to a controller: as such, and within one,
// two and three more Send Messages.
func (o order) ways(to ipmb.Addr) map[string][]byte {
	direct := o.to(to)
	return map[string][]byte{
		"single":                    direct,
		"double":                    wrapped(third, direct),
		"double by 20h":             wrapped(manager, direct),
		"double by the target":      wrapped(to, direct),
		"double by the own address": wrapped(attacker, direct),
		"nested 3 deep":             wrapped(third, wrapped(manager, direct)),
		"nested 3 deep, own first":  wrapped(attacker, wrapped(third, direct)),
		"nested 4 deep":             wrapped(attacker, wrapped(third, wrapped(manager, direct))),
	}
}

// state is what the orders would change, of the controller and its VM.
func (r *rack) state(of ipmb.Addr) string {
	r.t.Helper()
	var all []string
	ask := func(n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) { all = append(all, r.ask(of, n, cmd, data...)) }
	ask(ipmb.NetFnStorage, 0x40)                // SEL info: entries, times of the last addition and erasure
	ask(ipmb.NetFnChassis, 0x01)                // chassis status
	ask(ipmb.NetFnStorage, 0x11, 0, 0, 0, 0x10) // FRU
	ask(ipmb.NetFnSensor, 0x01)                 // event receiver
	if b := r.blades[of]; b != nil {
		ask(ipmb.NetFnChassis, 0x09, 5, 0, 0) // boot flags
		ask(ipmb.NetFnGroup, 0x0B, 0, 0)      // activation policy
		ask(ipmb.NetFnSensor, 0x2D, hotSwapSensor)
		ask(ipmb.NetFnSensor, 0x27, 0x20) // thresholds
		ask(ipmb.NetFnApp, 0x25)          // watchdog
		ask(ipmb.NetFnApp, 0x41, 1, 0x40) // channel access
		ask(ipmb.NetFnTransport, 0x02, 1, 3, 0, 0)
		for id := range byte(5) {
			ask(ipmb.NetFnApp, 0x46, id+1) // names
			ask(ipmb.NetFnApp, 0x44, 1, id+1)
		}
		all = append(all, fmt.Sprint(b.guest.Commands(), b.Status().Boot))
	}
	return strings.Join(all, "\n")
}

// unharmed runs attacks, and fails the test if any controller but the
// attacker's is not as it was.
func (r *rack) unharmed(attacks func()) {
	r.t.Helper()
	targets := []ipmb.Addr{victim, third, manager}
	before := make(map[ipmb.Addr]string)
	for _, to := range targets {
		before[to] = r.state(to)
	}
	attacks()
	for _, to := range targets {
		if after := r.state(to); after != before[to] {
			r.t.Errorf("%v was\n%s\nand is\n%s", to, before[to], after)
		}
	}
	r.blades[victim].door.login(r.t) // with the password that it had
}

// recorded counts the refusals that a node's audit record has.
func (b *blade) recorded() int { return strings.Count(b.log.String(), "guest message refused") }

// promote has a guest make itself an administrator of its own controller, by
// the commands that are there for it.
func (b *blade) promote(t testing.TB) door {
	t.Helper()
	d := door{"mallory", b.door.addr, "mallory", "her own password"}
	for _, set := range [][]byte{
		append(append([]byte{0x45, 3}, d.user...), make([]byte, 16-len(d.user))...),
		append([]byte{0x47, 3, 2}, d.password...),
		{0x47, 3, 1},
		{0x43, 0x91, 3, 4},
	} {
		if code, _, err := b.guest.Do(t.Context(), ipmb.NetFnApp, 0, ipmb.Cmd(set[0]), set[1:]); code != 0 || err != nil {
			t.Fatalf("06/%02x: %v, %v", set[0], code, err)
		}
	}
	return d
}

// S10: what a session may not do it may not by Send Message either, and who is
// administrator of one controller is nobody to the others.
func TestAttackS10Bridging(t *testing.T) {
	r := newRack(t)
	own := r.blades[attacker]
	mallory := own.promote(t)
	user := func() *console {
		c := own.door.console(t)
		c.role = 0x12
		if got := c.logIn(); got != 0 {
			t.Fatalf("%02x", got)
		}
		return c
	}
	for name, begin := range map[string]func() *console{ // each in its turn: one that is idle for a minute ends
		"the node's administrator":  func() *console { return own.door.login(t).raise() },
		"an administrator by guest": func() *console { return mallory.login(t).raise() },
		"a user":                    user,
	} {
		r.unharmed(func() {
			c := begin()
			for _, o := range orders {
				for _, to := range []ipmb.Addr{victim, third, manager} {
					for way, inner := range o.ways(to) {
						seen := own.recorded()
						if code, answer := c.innermost(inner); code != 0xD4 {
							t.Errorf("%s: %s at %v, %s: %02x, %s", name, o.name, to, way, code, answer)
						}
						if own.recorded() != seen+1 || !strings.Contains(own.log.String(), " by=session door=") {
							t.Errorf("%s: %s at %v, %s: no audit record", name, o.name, to, way)
						}
					}
				}
			}
		})
	}
	r.bridgeIsThere(mallory.login(t).raise())
	r.ownUser(user())
}

// innermost sends a bridged message and gives the code of the innermost answer
// that came back, and its frame if there was one.
func (c *console) innermost(inner []byte) (code byte, f ipmb.Frame) {
	c.t.Helper()
	if code, f = c.bridged(inner); code != 0 {
		return code, f
	}
	for f.Cmd == ipmb.CmdSendMessage && len(f.Data) > 1 {
		var err error
		if f, err = ipmb.ParseFrame(f.Data[1:]); err != nil {
			c.t.Fatalf("%s: within an answer: %v", c.door.name, err)
		}
	}
	return f.Data[0], f
}

// bridgeIsThere shows that it was the orders that were refused: a read passes,
// by every way.
func (r *rack) bridgeIsThere(c *console) {
	r.t.Helper()
	read := order{"read", ipmb.NetFnApp, ipmb.CmdGetDeviceID, nil}
	for _, way := range []string{"single", "double", "double by 20h", "nested 3 deep"} {
		if code, f := c.innermost(read.ways(victim)[way]); code != 0 || f.From != victim || f.Cmd != ipmb.CmdGetDeviceID || len(f.Data) != 16 {
			r.t.Errorf("a read, %s: %02x %s", way, code, f)
		}
	}
}

// ownUser has a session with user privilege try the orders at its own node: the
// innermost command is what counts, however deep. The administrator may.
func (r *rack) ownUser(c *console) {
	r.t.Helper()
	own := r.blades[attacker]
	off := orders[0].to(attacker)
	for deep, inner := range [][]byte{off, wrapped(attacker, off), wrapped(attacker, wrapped(attacker, off))} {
		if code, f := c.innermost(inner); code != 0xD4 {
			r.t.Errorf("own power by a user, %d deep: %02x %s", deep+1, code, f)
		}
	}
	own.untouched(r.t)
}

// S11: the guest's own interface reaches others no further than its doors do.
func TestAttackS11GuestOverIPMB(t *testing.T) {
	r := newRack(t)
	own := r.blades[attacker]
	r.unharmed(func() {
		for _, o := range orders {
			for _, to := range []ipmb.Addr{victim, third, manager} {
				for way, inner := range o.ways(to) {
					for _, forged := range []byte{0x20, byte(third)} {
						seen := own.recorded()
						data := append([]byte{0}, inner...)
						data[4] = forged // rqSA
						resum(data[1:])
						code, _, err := own.guest.Do(t.Context(), ipmb.NetFnApp, 0, ipmb.CmdSendMessage, data)
						if code != ipmb.ErrPrivilege || err != nil {
							t.Errorf("%s at %v, %s, as %02x: %v, %v", o.name, to, way, forged, code, err)
						}
						if own.recorded() != seen+1 {
							t.Errorf("%s at %v, %s: no audit record", o.name, to, way)
						}
					}
				}
			}
		}
	})
	got, err := own.guest.Ask(t.Context(), victim, ipmb.Request{NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdGetDeviceID})
	if err != nil || got.Code != ipmb.OK {
		t.Errorf("a read: %v, %v", got, err)
	}
}

// resum makes a frame's last checksum right again.
func resum(f []byte) {
	end := len(f) - 1
	f[end] = ipmb.Checksum(f[3:end])
}
