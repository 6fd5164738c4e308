package mc_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// site is a controller's access, on records that a second one may go on with.
type site struct {
	*ipmb.Mux
	records  *mc.MemoryRecords
	channels *mc.ChannelAccess
	keys     *mc.ChannelKeys
	users    *mc.Users
	lan      *mc.LAN
	sol      *mc.SOL
	info     *mc.SystemInfo
}

var sealKey = bytes.Repeat([]byte{7}, mc.SealKeyLen)

func newSite(t testing.TB) *site {
	s := &site{records: new(mc.MemoryRecords)}
	s.start(t)
	return s
}

// start makes the controller of what is in the records.
func (s *site) start(t testing.TB) {
	t.Helper()
	table := mc.Channels{mc.IPMBChannel, mc.LANChannel, mc.SystemChannel("kcs")}
	sealer := mc.NewSealer(func() ([]byte, error) { return sealKey, nil })
	var errs [6]error
	s.channels, errs[0] = mc.OpenChannelAccess(table, s.records)
	s.keys = mc.NewChannelKeys(s.channels, s.records, sealer)
	s.users, errs[1] = mc.OpenUsers(s.channels, s.records, sealer)
	s.lan, errs[2] = mc.OpenLAN(table, 1, [6]byte{2, 1, 2, 3, 4, 5}, s.records)
	s.sol, errs[3] = mc.OpenSOL(table, 1, s.records)
	s.info, errs[4] = mc.OpenSystemInfo(s.records, "blade1")
	firewall, err := mc.OpenFirewall(func() *ipmb.Mux { return s.Mux }, table, s.records)
	errs[5] = err
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	s.Mux = ipmb.NewMux(s.channels.Commands(), s.keys.Commands(), mc.CipherCommands(s.channels), s.users.Commands(),
		s.lan.Commands(), s.sol.Commands(), s.info.Commands(), firewall.Commands())
	s.Guard = firewall.Guard
}

func zeros(n int) string { return strings.Repeat("00", n) }

// text is a string as hex, filled up with zeros to n bytes.
func text(s string, n int) string { return hex.EncodeToString([]byte(s)) + zeros(n-len(s)) }

func TestChannelAccess(t *testing.T) {
	s := newSite(t)
	var told []uint8
	s.channels.Changed = func(n uint8) { told = append(told, n) }
	run(t, s, admin, []exchange{
		{"LAN", "06 42 01", "00 01 04 01 80 F21B00 0000"},
		{"absent: CCh, or Linux stops looking", "06 42 02", "CC"},
		{"disabled at first", "06 41 01 40", "00 20 04"},
		{"also now", "06 41 01 80", "00 20 04"},
		{"reserved kind", "06 41 01 C0", "CC"},
		{"no kind", "06 41 01 00", "CC"},
		{"session-less", "06 41 00 40", "82"},
		{"session-less, this one", "06 41 0E 40", "82"},
		{"absent", "06 41 05 40", "CC"},
		{"too short", "06 41 01", "C7"},
		{"ipmitool: lan set 1 access on, stored", "06 40 01 42 44", "00"},
		{"not yet", "06 41 01 80", "00 20 04"},
		{"ipmitool: lan set 1 access on, active", "06 40 01 82 84", "00"},
		{"now", "06 41 01 80", "00 02 04"},
		{"limit alone", "06 40 01 00 83", "00"},
		{"flags are kept", "06 41 01 80", "00 02 03"},
		{"the stored one as well", "06 41 01 40", "00 02 04"},
		{"shared is for serial", "06 40 01 43 44", "83"},
		{"so is pre-boot", "06 40 01 41 44", "83"},
		{"reserved mode", "06 40 01 44 44", "CC"},
		{"reserved kind of flags", "06 40 01 C2 44", "CC"},
		{"reserved kind of limit", "06 40 01 42 C4", "CC"},
		{"limit 0", "06 40 01 42 40", "CC"},
		{"limit 6", "06 40 01 42 46", "CC"},
		{"session-less is not set", "06 40 0F 42 44", "82"},
		{"absent is not set", "06 40 03 42 44", "CC"},
		{"nothing", "06 40 01 00 00", "00"},
	})
	if string(told) != "\x01\x01" {
		t.Errorf("told of %v", told)
	}
	s.start(t)
	run(t, s, admin, []exchange{
		{"stored, again", "06 41 01 40", "00 02 04"},
		{"active, again", "06 41 01 80", "00 02 03"},
	})
	if err := s.channels.Reset(); err != nil {
		t.Fatal(err)
	}
	run(t, s, admin, []exchange{{"as stored after a reset", "06 41 01 80", "00 02 04"}})
}

func TestChannelKeys(t *testing.T) {
	s := newSite(t)
	key := strings.Repeat("5A", 20)
	run(t, s, admin, []exchange{
		{"not set", "06 56 01 00 01", "00 02" + zeros(20)},
		{"set", "06 56 01 01 01" + key, "00 02"},
		{"read back", "06 56 01 00 01", "00 02" + key},
		{"the other is another", "06 56 01 00 00", "00 02" + zeros(20)},
		{"too short", "06 56 01 01 01 00", "81"},
		{"too long", "06 56 01 01 01" + key + "00", "82"},
		{"no such key", "06 56 01 00 02", "CC"},
		{"no such operation", "06 56 01 03 01", "CC"},
		{"channel without", "06 56 00 00 01", "CC"},
		{"read with a key", "06 56 01 00 01 00", "C7"},
		{"lock", "06 56 01 02 01", "00 01"},
		{"not read any more", "06 56 01 00 01", "00 01"},
		{"not set", "06 56 01 01 01" + key, "80"},
		{"not locked twice", "06 56 01 02 01", "80"},
	})
	s.start(t)
	run(t, s, admin, []exchange{{"locked for ever", "06 56 01 01 01" + key, "80"}})
	got, err := s.keys.Key(1, mc.KeyG)
	if err != nil || hex.EncodeToString(got) != strings.ToLower(key) {
		t.Errorf("the door's key % x, %v", got, err)
	}
	inRecords(t, s.records, bytes.Repeat([]byte{0x5A}, 20))
}

// inRecords checks that a secret is in no record.
func inRecords(t *testing.T, r mc.Records, secret []byte) {
	t.Helper()
	n := 0
	err := r.Each("", func(name string, v []byte) bool {
		if n++; bytes.Contains(v, secret) {
			t.Errorf("%s has the secret: % x", name, v)
		}
		return true
	})
	if err != nil || n == 0 {
		t.Errorf("%d records, %v", n, err)
	}
}

func TestCipherSuites(t *testing.T) {
	s := newSite(t)
	lan := ipmb.Origin{Door: ipmb.DoorLAN, Channel: 1}
	run(t, s, lan, []exchange{
		{"ipmitool's first packet", "06 54 0E 00 80", "00 01 C011034481 C003014181"},
		{"the next block", "06 54 0E 00 81", "00 01"},
		{"the last block", "06 54 0E 00 BF", "00 01"},
		{"algorithms", "06 54 01 00 00", "00 01 03 01 44 41 81"},
		{"for SOL", "06 54 01 01 80", "00 01 C011034481 C003014181"},
		{"for an unknown payload", "06 54 01 02 80", "CC"},
		{"of another channel", "06 54 0F 00 80", "CC"},
		{"no session, no more", "06 41 01 40", "D4"},
	})
}

func TestUsers(t *testing.T) {
	s := newSite(t)
	secret := "correct horse"
	run(t, s, admin, []exchange{
		{"nobody", "06 44 01 02", "00 10 80 01 1F"},
		{"the null user", "06 46 01", "00" + zeros(16)},
		{"has a fixed name", "06 45 01" + text("root", 16), "CC"},
		{"which may be said", "06 45 01" + zeros(16), "00"},
		{"no user 0", "06 46 00", "CC"},
		{"no user 17", "06 46 11", "CC"},
		{"no access of user 17", "06 44 01 11", "CC"},
		{"no name for user 17", "06 45 11" + text("x", 16), "CC"},
		{"name", "06 45 03" + text("bob", 16), "00"},
		{"read back", "06 46 03", "00" + text("bob", 16)},
		{"16 characters", "06 45 04" + text("abcdefghijklmnop", 16), "00"},
		{"read back", "06 46 04", "00" + text("abcdefghijklmnop", 16)},
		{"unprintable", "06 45 03" + text("bo\n", 16), "CC"},
		{"short", "06 45 03 62", "C7"},
		{"password", "06 47 03 02" + text(secret, 16), "00"},
		{"test", "06 47 03 03" + text(secret, 16), "00"},
		{"test of another", "06 47 03 03" + text("incorrect horse", 16), "80"},
		{"test in the long form", "06 47 83 03" + text(secret, 20), "81"},
		{"password in the long form", "06 47 83 02" + text(secret, 20), "00"},
		{"test", "06 47 83 03" + text(secret, 20), "00"},
		{"test in the short form", "06 47 03 03" + text(secret, 16), "81"},
		{"too short for its form", "06 47 83 02" + text(secret, 16), "C7"},
		{"too long for its form", "06 47 03 02" + text(secret, 20), "C7"},
		{"no password", "06 47 03 02", "C7"},
		{"nobody has none", "06 47 05 03" + zeros(16), "00"},
		{"no user 0", "06 47 00 02" + text(secret, 16), "CC"},
		{"no user 0 to test", "06 47 00 03" + text(secret, 16), "CC"},
		{"FreeIPMI enables with two bytes", "06 47 03 01", "00"},
		{"ipmitool with a password", "06 47 04 01" + zeros(16), "00"},
		{"two are enabled", "06 44 01 03", "00 10 42 01 1F"},
		{"disable", "06 47 04 00", "00"},
		{"one is", "06 44 01 04", "00 10 81 01 1F"},
		{"ipmitool: user priv 3 4 1", "06 43 01 03 04 00", "00"},
		{"read back", "06 44 01 03", "00 10 41 01 14"},
		{"ipmitool: channel setaccess", "06 43 B1 03 03", "00"},
		{"read back", "06 44 01 03", "00 10 41 01 33"},
		{"reserved limit", "06 43 01 03 00", "CC"},
		{"reserved limit", "06 43 01 03 06", "CC"},
		{"no access", "06 43 01 02 0F", "00"},
		{"nobody by the system interface", "06 43 0F 03 04", "CC"},
		{"absent channel", "06 43 03 03 04", "CC"},
		{"ipmitool: user list, in the guest", "06 44 0E 03", "00 10 41 01 0F"},
		{"payloads", "06 4D 01 03", "00 00000000"},
		{"ipmitool: sol payload enable 1 3", "06 4C 01 03 02000000", "00"},
		{"read back", "06 4D 01 03", "00 02000000"},
		{"a payload that is not there", "06 4C 01 03 04000000", "CC"},
		{"an OEM payload", "06 4C 01 03 00000100", "CC"},
		{"reserved operation", "06 4C 01 83 02000000", "CC"},
		{"disable", "06 4C 01 43 FE00FF00", "00"},
		{"read back", "06 4D 01 03", "00 00000000"},
	})
	run(t, s, ipmb.Origin{Door: ipmb.DoorLAN, Channel: 1, Privilege: ipmb.PrivilegeOperator}, []exchange{
		{"an operator sees", "06 44 0E 03", "00 10 41 01 33"},
		{"but does not name", "06 45 03" + text("eve", 16), "D4"},
		{"nor test passwords", "06 47 83 03" + text(secret, 20), "D4"},
	})
	s.start(t)
	run(t, s, admin, []exchange{
		{"the name is kept", "06 46 03", "00" + text("bob", 16)},
		{"and the access", "06 44 01 03", "00 10 41 01 33"},
		{"and the password", "06 47 83 03" + text(secret, 20), "00"},
	})
	inRecords(t, s.records, []byte(secret))
}

func TestAccounts(t *testing.T) {
	s := newSite(t)
	user := func(id, name, password, limit string, enabled bool) {
		rows := []exchange{
			{"name", "06 45" + id + text(name, 16), "00"},
			{"password", "06 47" + id + "02" + text(password, 16), "00"},
			{"limit", "06 43 01" + id + limit + "02", "00"},
		}
		if enabled {
			rows = append(rows, exchange{"enable", "06 47" + id + "01", "00"})
		}
		run(t, s, admin, rows)
	}
	user("02", "bob", "user's", "02", true)
	user("03", "bob", "admin's", "04", true)
	user("04", "eve", "secret", "04", false)
	user("05", "open", "", "04", true)
	user("06", "out", "secret", "0F", true)
	user("01", "", "null's", "03", true)
	if _, err := s.users.Account(1, "bob", ipmb.PrivilegeNone); !errors.Is(err, mc.ErrNoAccount) {
		t.Errorf("by a disabled channel: %v", err)
	}
	run(t, s, admin, []exchange{{"enable the channel", "06 40 01 82 83", "00"}})
	for _, c := range []struct {
		channel uint8
		name    string
		atLeast ipmb.Privilege
		id      uint8 // 0: none
		limit   ipmb.Privilege
	}{
		{1, "bob", ipmb.PrivilegeNone, 2, ipmb.PrivilegeUser},
		{1, "bob", ipmb.PrivilegeUser, 2, ipmb.PrivilegeUser},
		{1, "bob", ipmb.PrivilegeOperator, 3, ipmb.PrivilegeOperator}, // the channel's limit
		{1, "bob", ipmb.PrivilegeAdmin, 0, 0},
		{1, "", ipmb.PrivilegeNone, 1, ipmb.PrivilegeOperator},
		{1, "eve", ipmb.PrivilegeNone, 0, 0},
		{1, "open", ipmb.PrivilegeNone, 0, 0},
		{1, "out", ipmb.PrivilegeNone, 0, 0},
		{1, "nobody", ipmb.PrivilegeNone, 0, 0},
		{0, "bob", ipmb.PrivilegeNone, 0, 0},
	} {
		a, err := s.users.Account(c.channel, c.name, c.atLeast)
		if c.id == 0 {
			if !errors.Is(err, mc.ErrNoAccount) {
				t.Errorf("%+v: %+v, %v", c, a, err)
			}
			continue
		}
		if err != nil || a.ID != c.id || a.Limit != c.limit || a.Sessions != 2 || len(a.Password) != mc.PasswordLen {
			t.Errorf("%+v: %+v, %v", c, a, err)
		}
	}
	a, err := s.users.Account(1, "bob", ipmb.PrivilegeOperator)
	if err != nil || string(bytes.TrimRight(a.Password, "\x00")) != "admin's" {
		t.Errorf("%q, %v", a.Password, err)
	}
}

// One user's password is nobody else's, and none is opened by another key.
func TestSealedIsBound(t *testing.T) {
	s := newSite(t)
	run(t, s, admin, []exchange{{"password", "06 47 02 02" + text("secret", 16), "00"}})
	v, err := s.records.Get("user/02")
	if err != nil || v == nil {
		t.Fatal(v, err)
	}
	if err := s.records.Put("user/03", v); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	run(t, s, admin, []exchange{
		{"moved", "06 47 03 03" + text("secret", 16), "FF"},
		{"in its place", "06 47 02 03" + text("secret", 16), "00"},
		{"set anew", "06 47 03 02" + text("other", 16), "00"},
		{"and well", "06 47 03 03" + text("other", 16), "00"},
	})
	for name, key := range map[string]func() ([]byte, error){
		"another": func() ([]byte, error) { return bytes.Repeat([]byte{8}, mc.SealKeyLen), nil },
		"short":   func() ([]byte, error) { return []byte{8}, nil },
		"none":    func() ([]byte, error) { return nil, errors.New("no file") },
	} {
		if _, err := mc.NewSealer(key).Open("user/02", v); err == nil {
			t.Errorf("opened with %s key", name)
		}
	}
}

// What cannot be stored is not taken.
func TestNotStored(t *testing.T) {
	s := newSite(t)
	failing := &failingRecords{Records: s.records, err: ipmb.ErrOutOfSpace}
	table := s.channels.Channels
	channels, err := mc.OpenChannelAccess(table, failing)
	if err != nil {
		t.Fatal(err)
	}
	users, err := mc.OpenUsers(channels, failing, mc.NewSealer(func() ([]byte, error) { return sealKey, nil }))
	if err != nil {
		t.Fatal(err)
	}
	lan, err := mc.OpenLAN(table, 1, [6]byte{}, failing)
	if err != nil {
		t.Fatal(err)
	}
	var m *ipmb.Mux
	firewall, err := mc.OpenFirewall(func() *ipmb.Mux { return m }, table, failing)
	if err != nil {
		t.Fatal(err)
	}
	m = ipmb.NewMux(channels.Commands(), users.Commands(), lan.Commands(), firewall.Commands())
	run(t, m, admin, []exchange{
		{"name", "06 45 03" + text("bob", 16), "C4"},
		{"not named", "06 46 03", "00" + zeros(16)},
		{"access", "06 40 01 82 84", "C4"},
		{"not set", "06 41 01 80", "00 20 04"},
		{"address", "0C 01 01 03 0A000001", "C4"},
		{"not set", "0C 02 01 03 00 00", "00 11 00000000"},
		{"ARPs", "0C 03 01 01", "C4"},
		{"a command", "06 60 0F 0C 00" + zeros(16), "C4"},
		{"not disabled", "0C 02 01 01 00 00", "00 11 00"},
	})
}

type failingRecords struct {
	mc.Records
	err error
}

func (f *failingRecords) Put(string, []byte) error { return f.err }

// A serial port is open once it is configured, and has one session.
func TestSerialChannel(t *testing.T) {
	sessions := 0
	table := mc.Channels{
		{Number: 2, Medium: mc.MediumSerial, Protocol: mc.ProtocolTMode, Sessions: true, Single: true, Active: func() int { return sessions }},
		{Number: 3, Medium: mc.MediumSerial, Protocol: mc.ProtocolIPMB},
	}
	var records mc.MemoryRecords
	open := func() *ipmb.Mux {
		channels, err := mc.OpenChannelAccess(table, &records)
		if err != nil {
			t.Fatal(err)
		}
		return ipmb.NewMux(channels.Commands())
	}
	m := open()
	run(t, m, admin, []exchange{
		{"terminal mode", "06 42 02", "00 02 05 09 40 F21B00 0000"},
		{"without sessions", "06 42 03", "00 03 05 01 00 F21B00 0000"},
		{"open", "06 41 02 80", "00 22 04"},
		{"session-less", "06 41 03 80", "82"},
	})
	sessions = 1
	run(t, m, admin, []exchange{
		{"in use", "06 42 02", "00 02 05 09 41 F21B00 0000"},
		{"closed", "06 40 02 60 00", "00"},
	})
	run(t, open(), admin, []exchange{{"stays closed", "06 41 02 40", "00 20 04"}})
}

func TestLoginKinds(t *testing.T) {
	s := newSite(t)
	kinds := func(wantNamed, wantNull bool) {
		t.Helper()
		if named, null := s.users.LoginKinds(1); named != wantNamed || null != wantNull {
			t.Errorf("named %v, null %v", named, null)
		}
	}
	run(t, s, admin, []exchange{{"open", "06 40 01 82 84", "00"}})
	kinds(false, false)
	run(t, s, admin, []exchange{
		{"name", "06 45 02" + text("bob", 16), "00"},
		{"password", "06 47 02 02" + text("secret", 16), "00"},
		{"access", "06 43 91 02 04", "00"},
	})
	kinds(false, false)
	run(t, s, admin, []exchange{{"enable", "06 47 02 01", "00"}})
	kinds(true, false)
	run(t, s, admin, []exchange{
		{"null user's password", "06 47 01 02" + text("secret", 16), "00"},
		{"access", "06 43 91 01 02", "00"},
		{"enable", "06 47 01 01", "00"},
	})
	kinds(true, true)
	run(t, s, admin, []exchange{{"disable", "06 47 02 00", "00"}})
	kinds(false, true)
	run(t, s, admin, []exchange{{"close", "06 40 01 80 00", "00"}})
	kinds(false, false)
}
