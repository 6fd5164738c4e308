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

// boards is a shelf with a LAN door and a board without VM: what is tested with
// it needs no more.
var boards = &fixture{name: "l", yaml: `
nodes:
  - {slot: 1, name: blade1, qemu: none}
`}

// lanShelf is a shelf that is asked at its manager's door.
type lanShelf struct {
	*shelf
	dir  string
	door lab.Door
}

// upLAN brings the shelf up and waits until its board answers over the door.
func upLAN(t *testing.T) *lanShelf {
	t.Helper()
	s := &lanShelf{shelf: boards.up(t), dir: t.TempDir()}
	if s.door = s.Doors()[0]; !s.door.Target.Shelf {
		t.Fatalf("the first door is %s's", s.door.Target)
	}
	eventually(t, 20*time.Second, "the board answers over the shelf's LAN door", func() error {
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
	return append([]string{
		"ipmitool", "-I", "lanplus", "-H", at.Addr().String(), "-p", fmt.Sprint(at.Port()), "-U", s.door.User, "-f", s.door.PasswordFile,
	}, args...)
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
	eventually(t, 20*time.Second, "another replica leads", func() error {
		if s.leader(t) == old {
			return errors.New("still " + old)
		}
		return nil
	})
}

// TestShelfLAN asks a shelf with the clients that people have.
func TestShelfLAN(t *testing.T) {
	s := upLAN(t)
	for _, c := range []struct{ args, want string }{
		{"mc info", "IPMI Version"},
		{"session info all", "user id                       : 2"},
		{"user list 1", "admin"},
		{"sel info", "Entries"},
		{"-t 0x82 -b 0 mc info", "Provides Device SDRs      : yes"},
		{"-t 0x82 -b 0 sdr elist", "IPMB Link"},
		{"sdr elist", ""},
		{"lan print 1", "RMCP+ Cipher Suites"},
		{"sol info 1", ""},
		{"channel info 1", "Active Session Count  : 1"},
	} {
		begin := time.Now()
		out, err := s.ipmitool(t, strings.Fields(c.args)...)
		t.Logf("%s: %v\n%s", c.args, time.Since(begin), out)
		if err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v\n%s", c.args, err, out)
		}
	}
}
