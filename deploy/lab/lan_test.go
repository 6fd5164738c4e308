package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/internal/problem"
)

// door is the address of a node's door.
func (b *bench) door(l *Lab, name string) netip.AddrPort {
	b.t.Helper()
	n, ok := l.Topology.Node(name)
	if !ok {
		b.t.Fatalf("no node %s", name)
	}
	return l.NodeLAN(n)
}

// taken reports whether somebody listens at an address.
func taken(a netip.AddrPort) bool { return tryLAN(a) != nil }

// hold listens at an address until the test ends.
func (b *bench) hold(a netip.AddrPort) net.PacketConn {
	b.t.Helper()
	conn, err := net.ListenPacket("udp", a.String())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	return conn
}

// down takes the shelf down.
func (b *bench) down(l *Lab) {
	b.t.Helper()
	if _, err := l.Down(b.t.Context(), b.say); err != nil {
		b.t.Fatal(err)
	}
}

func TestEachControllerHasAnAddress(t *testing.T) {
	b := newBench(t, small)
	l, first := b.up()
	for name, slot := range map[string]int{"a": 1, "b": 2} {
		if a := b.door(l, name); a.Addr() != lanHost(l.ID, slot) || int(a.Port()) != l.LANPort || !taken(a) {
			t.Errorf("%s: %v, open %v", name, a, taken(a))
		}
	}
	if l.LANPort != lanPort && l.LANPort != lanPortAny {
		t.Errorf("port %d", l.LANPort)
	}
	if taken(netip.AddrPortFrom(lanHost(l.ID, claimHost), uint16(l.LANPort))) {
		t.Error("the claim is still held")
	}

	t.Log("a node without a door is restarted, and only that")
	b.write(strings.Replace(small, "slot: 2", "slot: 2\n    lan: off", 1))
	l, second := b.up()
	if second["node/b"] == first["node/b"] || second["node/a"] != first["node/a"] || b.door(l, "b").IsValid() {
		t.Errorf("from %v to %v", first, second)
	}

	t.Log("a door somewhere else")
	free := netip.MustParseAddrPort("127.77.255.1:62300")
	b.write(strings.Replace(small, "slot: 2", "slot: 2\n    lan: {listen: '"+free.String()+"'}", 1))
	if l, _ = b.up(); b.door(l, "b") != free || !taken(free) {
		t.Errorf("b: %v, open %v", b.door(l, "b"), taken(free))
	}
}

// An id is kept as long as its addresses are free.
func TestAnotherHasTheAddresses(t *testing.T) {
	b := newBench(t, small)
	l, _ := b.up()
	id := l.ID
	b.down(l)
	if again, _ := b.up(); again.ID != id {
		t.Errorf("id %d after %d", again.ID, id)
	}
	b.down(l)
	for what, host := range map[string]int{"a door": 2, "the claim": claimHost} {
		conn := b.hold(netip.AddrPortFrom(lanHost(id, host), uint16(l.LANPort)))
		other, _ := b.up()
		if other.ID == id || !b.heard("from now on") {
			t.Errorf("%s: id %d again", what, id)
		}
		b.down(other)
		conn.Close()
		id = other.ID
	}
}

// What shelf.yaml says and somebody else has is told before anything starts.
func TestATakenDoor(t *testing.T) {
	free := netip.MustParseAddrPort("127.77.255.2:62300")
	b := newBench(t, strings.Replace(small, "slot: 2", "slot: 2\n    lan: {listen: '"+free.String()+"'}", 1))
	conn := b.hold(free)
	_, err := Up(t.Context(), b.options())
	var p *problem.Error
	if !errors.As(err, &p) || !strings.Contains(p.What, "LAN door of b") || p.Where != free.String() || !strings.Contains(p.Do, "lan in shelf.yaml") {
		t.Errorf("%+v", err)
	}
	conn.Close()
	l, _ := b.up()
	id := l.ID

	t.Log("an id that shelf.yaml names is no other")
	b.down(l)
	b.hold(netip.AddrPortFrom(lanHost(id, 1), uint16(l.LANPort)))
	b.write(small + "id: " + strconv.Itoa(id) + "\n")
	if _, err := Up(t.Context(), b.options()); !errors.As(err, &p) || !strings.Contains(p.Error(), lanHost(id, 1).String()) {
		t.Errorf("%+v", err)
	}
}

// Two doors at one address, of which shelf.yaml names one only.
func TestTwoDoorsAtOneAddress(t *testing.T) {
	b := newBench(t, small)
	l, _ := b.up()
	b.write(strings.Replace(small, "slot: 2", "slot: 2\n    lan: {listen: '"+b.door(l, "a").String()+"'}", 1))
	if _, err := Up(t.Context(), b.options()); err == nil || !strings.Contains(err.Error(), "the LAN doors of a and b are at one address") {
		t.Errorf("%v", err)
	}
}

// Two users, or two homes, bring up a shelf at once.
func TestTwoHomesAtOnce(t *testing.T) {
	b := newBench(t, small)
	one, other := &Lab{Name: "one"}, &Lab{Name: "other"}
	l, _ := b.up()
	for _, l := range []*Lab{one, other} {
		h, err := OpenHome()
		if err != nil {
			t.Fatal(err)
		}
		h.State = t.TempDir()
		*l = *h.at(l.Name)
		if l.Topology, _, err = b.options().topology(h); err != nil {
			t.Fatal(err)
		}
		if err := l.chooseLAN(b.say); err != nil {
			t.Fatal(err)
		}
		defer l.endClaim()
	}
	if one.ID == other.ID || one.ID == l.ID || other.ID == l.ID {
		t.Errorf("ids %d, %d and %d", one.ID, other.ID, l.ID)
	}
}

func TestDoorsBeginWithOnePassword(t *testing.T) {
	b := newBench(t, small)
	l, _ := b.up()
	read := func(path string) string {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		return strings.TrimSuffix(string(data), "\n")
	}
	password := read(l.LANPasswordPath())
	if len(password) != 16 || !b.heard("password "+password+" (shown this once") {
		t.Errorf("%d characters, or not shown", len(password))
	}
	for _, d := range l.Doors() {
		if got := read(d.PasswordFile); got != password {
			t.Errorf("%s has another", d.Target)
		}
		if got, err := d.Password(); err != nil || got != password {
			t.Errorf("%s: %v", d.Target, err)
		}
	}
	b.up()
	if b.heard(password) {
		t.Error("shown again")
	}
	if err := os.WriteFile(l.nodePasswordPath("b"), []byte("AnotherOne123456\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.up()
	if got := read(l.nodePasswordPath("b")); got != "AnotherOne123456" {
		t.Error("a node's own password was replaced")
	}
	b.leaksNot(l, password)
}

// leaksNot fails when anything that a shelf writes or runs has the secret, but
// for the files of passwords.
func (b *bench) leaksNot(l *Lab, secret string) {
	b.t.Helper()
	err := filepath.WalkDir(l.StateDir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "lan-password" {
			return err
		}
		if data, err := os.ReadFile(path); err == nil && strings.Contains(string(data), secret) {
			b.t.Errorf("%s has it", path)
		}
		return nil
	})
	if err != nil {
		b.t.Error(err)
	}
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		if data, err := os.ReadFile(path); err == nil && strings.Contains(string(data), secret) {
			b.t.Errorf("%s has it", path)
		}
	}
}

func TestDoorsWithPasswordsOfTheirOwn(t *testing.T) {
	b := newBench(t, small+"lan: {password: own, port: 62301}\n")
	l, _ := b.up()
	if exists(l.nodePasswordPath("a")) || !exists(l.LANPasswordPath()) || !b.heard("the shelf's LAN door: user admin, password ") {
		t.Error("a node was given one, or the shelf manager has none")
	}
	if l.LANPort != 62301 || b.door(l, "a").Port() != 62301 {
		t.Errorf("port %d", l.LANPort)
	}
}

func TestFreeIPMIFile(t *testing.T) {
	b := newBench(t, small)
	l, _ := b.up()
	d := l.Doors()[0]
	path, err := l.FreeIPMI(d)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := d.Password()
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), "driver-type LAN_2_0\nusername admin\npassword "+password+"\n") {
		t.Errorf("%q, %v", text, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestNoDoor(t *testing.T) {
	b := newBench(t, strings.Replace(small, "slot: 2", "slot: 2\n    lan: off", 1))
	l, _ := b.up()
	for target, words := range map[string]string{"b": "b has no LAN door", "0x90": "0x90 has no LAN door"} {
		at, err := l.ResolveTarget(target)
		if err != nil {
			t.Fatal(err)
		}
		var p *problem.Error
		if _, err := l.Door(at); !errors.As(err, &p) || !strings.Contains(p.What, words) || p.Do != "these have one: shelf, a" {
			t.Errorf("%s: %+v", target, err)
		}
	}
}

// The shelf manager's own door has a process of its own, and goes and comes
// back as shelf.yaml says.
func TestTheShelfsDoor(t *testing.T) {
	b := newBench(t, small)
	l, first := b.up()
	if a := l.ManagerLAN(); a.Addr() != lanHost(l.ID, managerHost) || !taken(a) || l.Doors()[0].Address != a {
		t.Errorf("at %v, open %v", a, taken(a))
	}
	info, err := os.Stat(l.lanKeyPath())
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != lanKeyLen {
		t.Errorf("%+v, %v", info, err)
	}
	key, _ := os.ReadFile(l.lanKeyPath())
	c := l.replicaConfig(0)
	if err := c.Check(); err != nil || c.Shelves[0].LAN.Listen != l.frontConfig().Replicas[0] {
		t.Errorf("%+v, %v", c.Shelves[0].LAN, err)
	}
	trouble := func(want string) {
		t.Helper()
		if err := await(t.Context(), startLimit, func(context.Context) error { // a signal takes its time
			if what, do := l.FrontTrouble(); what+", "+do != want {
				return fmt.Errorf("trouble %s, %s; want %s", what, do, want)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	trouble(", ")
	if _, err := l.Stop(t.Context(), "front"); err != nil {
		t.Fatal(err)
	}
	trouble("front stands still, midplane resume front")
	if _, err := l.Resume(t.Context(), "front"); err != nil {
		t.Fatal(err)
	}
	trouble(", ")

	t.Log("killed on purpose, it stays down")
	if name, err := l.Kill(t.Context(), "front"); name != "front" || err != nil {
		t.Fatal(name, err)
	}
	if _, second := b.up(); second["front"] != 0 || taken(l.ManagerLAN()) {
		t.Error("it is up again")
	}
	trouble("front does not run, midplane start front")
	if _, err := l.Start(t.Context(), "front", b.exe, b.say); err != nil {
		t.Fatal(err)
	}

	trouble(", ")

	t.Log("off, it ends, and replicas are told")
	b.write(small + "lan: off\n")
	l, third := b.up()
	trouble(", ")
	if third["front"] != 0 || third["shm1"] == first["shm1"] || len(l.Doors()) != 0 || l.replicaConfig(0).Shelves[0].LAN != nil {
		t.Errorf("from %v to %v", first, third)
	}
	if _, err := l.Kill(t.Context(), "front"); err == nil {
		t.Error("killed what is not there")
	}

	t.Log("somewhere else")
	free := netip.MustParseAddrPort("127.77.255.3:62300")
	b.write(small + "lan: {listen: '" + free.String() + "'}\n")
	if l, _ = b.up(); l.ManagerLAN() != free || !taken(free) {
		t.Errorf("at %v, open %v", l.ManagerLAN(), taken(free))
	}
	if again, _ := os.ReadFile(l.lanKeyPath()); string(again) != string(key) {
		t.Error("it has another key")
	}
}
