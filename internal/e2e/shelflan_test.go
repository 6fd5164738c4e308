//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/deploy/lab"
)

// boards is a shelf with a board without VM, and with a LAN door that has all that
// is off by default: what is tested with it needs no more.
var boards = &fixture{name: "m", yaml: `
lan: {suites: [17, 3, 8, 1], unsafe_suites: true, v15: [md5, password]}
nodes:
  - {slot: 1, name: blade1, qemu: none}
`}

// lanShelf is a shelf that is asked at its manager's door.
type lanShelf struct {
	*shelf
	dir    string
	door   lab.Door
	prefix []string // of clients' command lines
}

// upLAN brings the shelf up and waits until its board answers over the door.
func upLAN(t *testing.T) *lanShelf {
	t.Helper()
	s := &lanShelf{shelf: boards.up(t), dir: t.TempDir()}
	if s.door = s.Doors()[0]; !s.door.Target.Shelf {
		t.Fatalf("the first door is %s's", s.door.Target)
	}
	eventually(t, patience, "the board answers over the shelf's LAN door", func() error {
		out, err := s.ipmitool(t, "-t", "0x82", "-b", "0", "raw", "6", "1")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	return s
}

// client is the command line of ipmitool at the door.
func (s *lanShelf) client(args ...string) []string {
	at := s.door.Address
	return append(append(s.prefix[:len(s.prefix):len(s.prefix)],
		"ipmitool", "-I", "lanplus", "-H", at.Addr().String(), "-p", fmt.Sprint(at.Port()), "-U", s.door.User, "-f", s.door.PasswordFile,
	), args...)
}

// ipmitool runs the client at the shelf's door, as people do.
func (s *lanShelf) ipmitool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	argv := s.client(args...)
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	return string(out), err
}

// otherLeader waits until somebody else leads.
func (s *lanShelf) otherLeader(t *testing.T, old string) {
	t.Helper()
	eventually(t, patience, "another replica leads", func() error {
		if s.leader(t) == old {
			return errors.New("still " + old)
		}
		return nil
	})
}

// TestShelfLAN asks a shelf with the clients that people have, without a flag that
// works around anything.
func TestShelfLAN(t *testing.T) {
	s := upLAN(t)
	const device = "20 01 00 10 02"
	for _, c := range []struct{ args, want string }{ // in its output; behind !, of one that fails
		{"mc info", "IPMI Version"},
		{"-C 3 raw 6 1", device},
		{"-C 8 raw 6 1", device},
		{"-C 1 raw 6 1", device},
		{"-C 0 mc info", "!no matching cipher suite"},
		{"-C 12 mc info", "!Unable to establish"},
		{"-P wrong mc info", "!Unable to establish"},
		{"session info all", "user id                       : 2"},
		{"user list 1", "admin"},
		{"channel info 1", "Active Session Count  : 1"},
		{"lan print 1", "IP Address              : " + s.door.Address.Addr().String()},
		{"lan set 1 ipaddr 127.0.0.9", "!Setting LAN IP Address"},
		{"sel info", "Entries"},
		{"sdr elist", "FRU State"},
		{"-t 0x82 -b 0 sdr elist", "FRU State"},
		{"-t 0x82 -b 0 fru print 0", "Board Mfg"},
		{"-t 0x20 -b 0 raw 6 1", device},
		{"-T 0x20 -B 0 -t 0x82 -b 0 raw 6 1", "20 81 00 10 02"},
		{"-t 0x82 -b 0 raw 6 1", "20 81 00 10 02"},
		{"-t 0x90 -b 0 raw 6 1", "!rsp=0x83"},
		{"-t 0x82 -b 7 raw 6 1", "!rsp=0xcc"},
		{"-L USER chassis power cycle", "!Insufficient privilege level"},
		{"-L USER -t 0x82 -b 0 raw 0x2c 0x0a 0 0 1 0", "!rsp=0xd4"},
		{"-L USER -t 0x82 -b 0 raw 6 1", "20 81 00 10 02"},
		{"-t 0x82 -b 0 raw 0x2c 0x0a 0 0 1 0", "00"},
		{"-I lan mc info", "IPMI Version"},
		{"-I lan -A PASSWORD mc info", "IPMI Version"},
		{"-I lan -A NONE mc info", "!Unable to establish"},
		{"-I lan -N 1 -R 1 -P wrong mc info", "!Unable to establish"},
		{"-I lan session info all", "IPMIv1.5"},
		{"-I lan chassis status", "System Power"},
		{"-I lan raw 0x0a 0x44 0 0 0xe0 1 2 3 0x99 5 6 7 8 9 10 11 12 13", "00"},
		{"-I lan sel elist", "OEM record e0 | 01020399050607"},
		{"-I lan -t 0x82 -b 0 mc info", "IPMI Version"},
		{"-I lan -t 0x82 -b 0 sdr elist", "FRU State"},
		{"-I lan -L USER -t 0x82 -b 0 raw 0x2c 0x0a 0 0 1 0", "!rsp=0xd4"},
		{"-I lan -L USER chassis power cycle", "!Insufficient privilege level"},
	} {
		out, err := s.ipmitool(t, strings.Fields(c.args)...)
		want, fail := strings.CutPrefix(c.want, "!")
		if fail != (err != nil) || !strings.Contains(out, want) {
			t.Errorf("%s: %v, want %s\n%s", c.args, err, c.want, out)
		}
	}
	for _, r := range s.ReplicaAPIs() {
		if n := s.warnings(t, r.Name); n < 2 {
			t.Errorf("%s warned %d times of suite 1 and IPMI 1.5", r.Name, n)
		}
	}
}

// warnings counts a replica's of ways to log in.
func (s *lanShelf) warnings(t *testing.T, replica string) int {
	t.Helper()
	return strings.Count(s.do(t, "logs", replica), `level=WARN msg="LAN door: `)
}
