package manager

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/rmcp"
)

// lan asks as a session of the shelf's does: completion code and data, or none
// for no answer.
func (r *replica) lan(t testing.TB, o ipmb.Origin, request string) string {
	t.Helper()
	o.Speaker, o.Door, o.Channel, o.Shelf, o.Source = ipmb.SpeakerSession, ipmb.DoorLAN, mc.LANChannel.Number, "lab", ipmb.AddrShelfManager
	b := unhex(t, request)
	a := r.serveLAN(t.Context(), &ipmb.Request{NetFn: ipmb.NetFn(b[0]), Cmd: ipmb.Cmd(b[1]), Data: b[2:], Origin: o})
	if a.Code == ipmb.ErrNoResponse {
		return "none"
	}
	return fmt.Sprintf("%02x%x", byte(a.Code), a.Data)
}

var (
	text16 = func(s string) string { return fmt.Sprintf("%x", append([]byte(s), make([]byte, 16-len(s))...)) }
	admins = ipmb.Origin{Privilege: admin}
)

// What an administrator sets holds, and holds at the next leader.
func TestAccess(t *testing.T) {
	cluster := newFakeCluster(t)
	r := newReplica(cluster, 1)
	stop := r.lead(t)
	for _, s := range []struct{ request, want string }{
		{"06 45 03" + text16("bob"), "00"},
		{"06 47 03 02" + text16("builder"), "00"},
		{"06 47 03 01", "00"},
		{"06 43 91 03 03", "00"},
		{"06 4c 01 03 02000000", "00"},
		{"06 40 01 82 83", "00"},
		{"06 40 01 42 43", "00"},
		{"06 56 01 01 01" + strings.Repeat("5a", mc.ChannelKeyLen), "0002"},
		{"0c 01 01 10" + text16("secret") + "0000", "00"},
		{"0c 03 01 01", "0000"},
		{"0c 21 01 01 01", "00"},
		{"0c 01 01 03 7f000001", "82"}, // where the door is
		{"0c 01 01 08 0102", "82"},
		{"0c 21 01 08 0102", "82"},
	} {
		if got := r.lan(t, admins, s.request); got != s.want {
			t.Errorf("%s: %s, want %s", s.request, got, s.want)
		}
	}
	reads := func(r *replica) {
		t.Helper()
		for _, s := range []struct{ request, want string }{
			{"06 46 03", "00" + text16("bob")},
			{"06 47 03 03" + text16("builder"), "00"},
			{"06 47 03 03" + text16("plumber"), "80"},
			{"06 44 01 03", "00 10 41 01 13"},
			{"06 4d 01 03", "00 02000000"},
			{"06 41 01 80", "00 02 03"},
			{"06 41 01 40", "00 02 03"},
			{"06 42 01", "00 01 04 01 80 f21b00 0000"},
			{"06 56 01 00 01", "00 02" + strings.Repeat("5a", mc.ChannelKeyLen)},
			{"06 38 01 04", "00 01 00 24 00 00 000000"},
			{"0c 02 01 10 00 00", "00 11" + text16("secret") + "0000"},
			{"0c 02 01 03 00 00", "00 11 c0000209"},
			{"0c 02 01 08 00 00", "00 11 5618"},
			{"0c 22 01 08 00 00", "00 11 5618"},
			{"0c 04 01 00", "00" + strings.Repeat("0000", 9)},
			{"0c 22 01 01 00 00", "00 11 01"},
		} {
			if got, want := r.lan(t, admins, s.request), strings.ReplaceAll(s.want, " ", ""); got != want {
				t.Errorf("%s: %s, want %s", s.request, got, want)
			}
		}
		a, err := r.access.users.Account(1, "bob", ipmb.PrivilegeUser)
		if err != nil || !bytes.HasPrefix(a.Password, []byte("builder")) || a.Limit != ipmb.PrivilegeOperator {
			t.Errorf("bob may not log in: %+v, %v", a.Limit, err)
		}
	}
	reads(r)
	stop()
	next := newReplica(cluster, 2)
	defer next.lead(t)()
	reads(next)
	for _, one := range cluster.fsm.Records("lab", "") {
		if bytes.Contains(one.Value, []byte("builder")) || bytes.Contains(one.Value, bytes.Repeat([]byte{0x5A}, mc.ChannelKeyLen)) {
			t.Errorf("record %s has a secret that anybody can read", one.Name)
		}
	}
}

// Nobody changes who may use the shelf, nor learns it, over the bus: no guest,
// no session at a node's door, no node, whatever privilege it claims.
func TestAccessIsClosedToTheBus(t *testing.T) {
	r := leading(t)
	for _, speaker := range []ipmb.Speaker{ipmb.SpeakerController, ipmb.SpeakerGuest, ipmb.SpeakerSession, ipmb.SpeakerAPI} {
		for _, request := range []string{
			"06 40 01 82 84", "06 43 91 02 04", "06 44 01 02", "06 45 03" + text16("eve"), "06 46 02", "06 47 02 02" + text16("eve"),
			"06 56 01 01 01" + strings.Repeat("00", 20), "06 3c 00000000 01", "06 3d 01", "06 48 0101c0000000", "06 49 010100000000", "06 4a 01", "0c 01 01 03 7f000001", "0c 02 01 03 00 00", "0c 21 01 01 01",
		} {
			b := unhex(t, request)
			m := r.message(blade1, speaker, ipmb.NetFn(b[0]), ipmb.Cmd(b[1]), b[2:]...)
			m.Origin.Privilege = ipmb.PrivilegeOEM
			if code, _ := r.ask(t, m); code != ipmb.ErrPrivilege {
				t.Errorf("%v: %s: %v", speaker, request, code)
			}
		}
	}
	for _, prefix := range []string{"user/", "channel/", "key/", "lan/", "sol/", "arp/"} {
		if have := r.cfg.State.Records("lab", prefix); len(have) > 0 {
			t.Errorf("%s was written", have[0].Name)
		}
	}
}

// A repeat at the next leader gets the first answer, and changes nothing again.
func TestAccessOnce(t *testing.T) {
	cluster := newFakeCluster(t)
	r := newReplica(cluster, 1)
	stop := r.lead(t)
	o := admins
	o.Instance, o.ID = "0123456789abcdef", 5
	set := "06 56 01 01 01" + strings.Repeat("5a", mc.ChannelKeyLen)
	if got := r.lan(t, o, set); got != "0002" {
		t.Fatal(got)
	}
	o.ID = 6
	lock := "06 56 01 02 01"
	if got := r.lan(t, o, lock); got != "0001" {
		t.Fatal(got)
	}
	stop()
	next := newReplica(cluster, 2)
	defer next.lead(t)()
	if got := next.lan(t, o, lock); got != "0001" {
		t.Errorf("repeat: %s", got)
	}
	o.ID = 7
	if got := next.lan(t, o, lock); got != "80" {
		t.Errorf("another: %s", got)
	}
}

// The first administrator is made once, under the password of the file; who was
// deleted does not come back.
func TestFirstAdmin(t *testing.T) {
	cluster := newFakeCluster(t)
	r := newReplica(cluster, 1)
	stop := r.lead(t)
	if err := r.untilAdmin(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, err := r.access.users.Account(1, LANUser, admin)
	if err != nil || a.ID != lanUserID || !bytes.HasPrefix(a.Password, []byte("Sesame0123456789")) {
		t.Errorf("%+v, %v", a.ID, err)
	}
	if got := r.lan(t, admins, "06 45 02"+strings.Repeat("00", 16)); got != "00" {
		t.Fatal(got)
	}
	stop()
	next := newReplica(cluster, 2)
	defer next.lead(t)()
	if err := next.untilAdmin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := next.access.users.Account(1, LANUser, admin); err == nil {
		t.Error("who was deleted is there again")
	}
}

// kept is a session of the first administrator's as a login would leave it.
func kept(r *replica, t testing.TB) rmcp.Kept {
	t.Helper()
	if err := r.untilAdmin(t.Context()); err != nil {
		t.Fatal(err)
	}
	user, may := r.access.users.Standing(1, lanUserID)
	if !may {
		t.Fatal("the administrator may not log in")
	}
	k := rmcp.Kept{
		ID: 0x11223344, Console: 7, Name: [16]byte{1, 2, 3}, Handle: 9, User: lanUserID, Limit: admin, Privilege: ipmb.PrivilegeUser, Stamp: user.Stamp,
		Auth: 3, Integrity: 4, Cipher: 1, Peer: netip.MustParseAddrPort("198.51.100.7:4000"), Secret: []byte("a session integrity key, 32 long"),
	}
	if err := (sessionStore{r.access}).Save(t.Context(), rmcp.Change{Put: []rmcp.Kept{k}}); err != nil {
		t.Fatal(err)
	}
	return k
}

// A new leader has the sessions of the last one; what a session does to itself
// is known to the one after; and who closed one has closed it.
func TestSessionsAreReplicated(t *testing.T) {
	cluster := newFakeCluster(t)
	first := newReplica(cluster, 1)
	stop := first.lead(t)
	k := kept(first, t)
	stop()
	for _, one := range cluster.fsm.Records("lab", sessionPrefix) {
		if bytes.Contains(one.Value, k.Secret) {
			t.Error("the key of a session can be read")
		}
	}
	own := ipmb.Origin{Privilege: ipmb.PrivilegeUser, Session: k.ID, Instance: "0123456789abcdef", ID: 1}
	info := "06 3d 00"
	second := newReplica(cluster, 2)
	stop = second.lead(t)
	if got := second.lan(t, own, info); got != "00093f01020211"+"c6336407000000000000"+"a00f" {
		t.Errorf("info: %s", got)
	}
	if got := second.lan(t, own, "06 3b 04"); got != "0004" {
		t.Errorf("privilege: %s", got)
	}
	stop()
	third := newReplica(cluster, 3)
	stop = third.lead(t)
	if got := third.lan(t, own, info); got[10:12] != "04" {
		t.Errorf("info after: %s", got)
	}
	if got := third.lan(t, own, "06 3b 04"); got != "0004" {
		t.Errorf("repeat: %s", got)
	}
	own.ID = 2
	if got := third.lan(t, own, "06 3c 44332211"); got != "00" {
		t.Errorf("close: %s", got)
	}
	stop()
	fourth := newReplica(cluster, 4)
	defer fourth.lead(t)()
	if n := fourth.access.sessions.Open(); n != 0 {
		t.Errorf("%d sessions after the close", n)
	}
}

// The sessions of a user who is changed end, and are not in the store any more
// when that is answered; but his own by which he took another password is there
// for the next leader. One that the store kept by mistake nobody takes up.
func TestSessionsOfAChangedUser(t *testing.T) {
	cluster := newFakeCluster(t)
	first := newReplica(cluster, 1)
	stop := first.lead(t)
	own, other := kept(first, t), kept(first, t)
	other.ID, other.Handle = 0x55667788, 10
	stop()
	second := newReplica(cluster, 2)
	stop = second.lead(t)
	if err := (sessionStore{second.access}).Save(t.Context(), rmcp.Change{Put: []rmcp.Kept{other}}); err != nil {
		t.Fatal(err)
	}
	second.access.sessions.Restore([]rmcp.Kept{other}, time.Now())
	records := func() int { return len(cluster.fsm.Records("lab", sessionPrefix)) }
	if n := second.access.sessions.Open(); n != 2 || records() != 2 {
		t.Fatalf("%d sessions, %d stored", n, records())
	}
	asks := ipmb.Origin{Privilege: admin, Session: own.ID, Instance: "0123456789abcdef", ID: 1}
	if got := second.lan(t, asks, "06 47 02 02"+text16("another")); got != "00" {
		t.Fatal(got)
	}
	if n := second.access.sessions.Open(); n != 1 || records() != 1 {
		t.Errorf("with a new password: %d sessions, %d stored", n, records())
	}
	if err := (sessionStore{second.access}).Save(t.Context(), rmcp.Change{Put: []rmcp.Kept{other}}); err != nil {
		t.Fatal(err)
	}
	stop()
	third := newReplica(cluster, 3)
	defer third.lead(t)()
	if n := third.access.sessions.Open(); n != 1 {
		t.Errorf("%d sessions at the next leader", n)
	}
	if got := third.lan(t, admins, "06 47 02 00"); got != "00" {
		t.Fatal(got)
	}
	if n := third.access.sessions.Open(); n != 0 || records() != 0 {
		t.Errorf("of one who is disabled: %d sessions, %d stored", n, records())
	}
}

// What cannot be committed or confirmed is not answered at all, at this door too.
func TestLANOfADeafLeader(t *testing.T) {
	r := leading(t)
	k := kept(r, t)
	r.access.sessions.Restore([]rmcp.Kept{k}, time.Now())
	r.raft.set(func(f *fakeRaft) { f.deaf = true })
	own := ipmb.Origin{Privilege: admin, Session: k.ID}
	for _, request := range []string{"06 01", "06 38 01 04", "06 3b 04", "06 45 03" + text16("bob"), "0a 44 0000 f0 82 00 50616e6963000000000000"} {
		if got := r.lan(t, own, request); got != "none" {
			t.Errorf("%s: %s", request, got)
		}
	}
}

// bridge wraps a request for a controller into Send Message.
func bridge(t testing.TB, to ipmb.Addr, n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) string {
	t.Helper()
	raw, err := ipmb.RequestFrame(to, ipmb.AddrShelfManager, 0, 3, &ipmb.Request{NetFn: n, Cmd: cmd, Data: data}).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := ipmb.SendMessage{Tracking: ipmb.TrackRequest, Message: raw}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("0634%x", out)
}

// What a session sends through 0x20 and may change something goes out under a
// name that it has at the next leader, too; a read is not committed.
func TestBridgedOnce(t *testing.T) {
	cluster := newFakeCluster(t)
	names := make(map[string]int)
	o := ipmb.Origin{Privilege: admin, Session: 5, Instance: "0123456789abcdef", ID: 8}
	for term := uint64(1); term <= 2; term++ {
		r := newReplica(cluster, term)
		r.bus.attach(blade1, 1, func(_ context.Context, req *ipmb.Request) ipmb.Response {
			if req.NetFn == ipmb.NetFnChassis && req.Origin.Privilege < ipmb.PrivilegeOperator {
				return ipmb.Response{Code: ipmb.ErrPrivilege}
			}
			return ipmb.Response{}
		})
		stop := r.lead(t)
		if got := r.lan(t, o, bridge(t, blade1, ipmb.NetFnChassis, 2, 0)); !strings.HasPrefix(got, "00") || strings.Contains(got, "d4") {
			t.Errorf("term %d: %s", term, got)
		}
		for _, m := range r.bus.frames() {
			if m.Frame.NetFn == ipmb.NetFnChassis {
				names[fmt.Sprintf("%x/%d", m.Instance, m.ID)]++
			}
		}
		read := o
		read.ID = 100 + term
		if got := r.lan(t, read, bridge(t, blade1, ipmb.NetFnApp, 1)); !strings.HasPrefix(got, "00") {
			t.Errorf("read: %s", got)
		}
		if (sessionStore{r.access}).Done(read.Instance, read.ID) {
			t.Errorf("a read was committed")
		}
		read.ID, read.Privilege = 200+term, ipmb.PrivilegeUser
		if got := r.lan(t, read, bridge(t, blade1, ipmb.NetFnChassis, 2, 0)); !strings.Contains(got, "d4") {
			t.Errorf("a user switches a board: %s", got)
		}
		if got := r.lan(t, admins, bridge(t, blade2, ipmb.NetFnApp, 1)); got != "83" {
			t.Errorf("to nobody: %s", got)
		}
		stop()
	}
	twice := 0
	for _, n := range names {
		if n == 2 {
			twice++
		}
	}
	if twice != 1 {
		t.Errorf("names %v", names)
	}
}
