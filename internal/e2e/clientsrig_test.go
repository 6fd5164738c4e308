//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/midplane-project/midplane/deploy/lab"
)

// guests is the shelf that clients are tried at. They cycle its guests' power
// and change its users, so it is theirs alone. Its doors have IPMI's own port,
// for ipmiconsole knows no other.
var guests = &fixture{name: "c", yaml: `
lan: {port: 623}
nodes:
  - {slot: 1, name: blade1, interface: bt}
  - {slot: 2, name: blade2, interface: kcs}
`}

// lanDoor is a door, and its administrator's password.
type lanDoor struct {
	addr     netip.AddrPort
	password string
}

// clientShelf is a shelf of three replicas with its front and two boards with
// guests. All three controllers have a door.
type clientShelf struct {
	*shelf
	dir     string
	manager *lanDoor
	boards  []*lanDoor
}

// upClients brings the shelf up and waits until the boards answer over its door.
func upClients(t *testing.T) *clientShelf {
	t.Helper()
	s := &clientShelf{shelf: guests.up(t), dir: t.TempDir()}
	t.Cleanup(func() { s.atEnd("down") })
	doors := s.Doors()
	if len(doors) != 3 || !doors[0].Target.Shelf {
		t.Fatalf("the doors are %v", doors)
	}
	s.manager = doorOf(t, doors[0])
	for i, d := range doors[1:] {
		s.boards = append(s.boards, doorOf(t, d))
		s.answers(t, s.manager, "-b", "0", "-t", fmt.Sprintf("%#x", 0x82+2*i), "mc", "info")
	}
	return s
}

func doorOf(t *testing.T, d lab.Door) *lanDoor {
	t.Helper()
	password, err := d.Password()
	if err != nil {
		t.Fatal(err)
	}
	return &lanDoor{d.Address, password}
}

func (s *clientShelf) path(name string) string { return filepath.Join(s.dir, name) }

// booted waits until a guest is up again, after another boot than before.
func (s *clientShelf) booted(t *testing.T, board int, before string) (now string) {
	t.Helper()
	name := fmt.Sprintf("blade%d", board+1)
	eventually(t, 2*time.Minute, "the guest of "+name+" is up", func() error {
		out, err := commandOutput("--shelf", s.Name, "exec", name, "--", "sh", "-c", "test -e /run/ready && cat /proc/sys/kernel/random/boot_id")
		if now = strings.TrimSpace(out); err == nil && now == before {
			err = errors.New("not yet")
		}
		return err
	})
	return now
}

// answers waits until ipmitool succeeds.
func (s *clientShelf) answers(t *testing.T, d *lanDoor, args ...string) {
	t.Helper()
	eventually(t, 30*time.Second, strings.Join(args, " "), func() error {
		out, err := d.ipmitool(t.Context(), args...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	})
}

// command is a client's with an end: one that hangs is a failure, not a wait.
func (d *lanDoor) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), "IPMITOOL_PASSWORD="+d.password)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 5 * time.Second
	return c
}

func (d *lanDoor) ipmitool(ctx context.Context, args ...string) *exec.Cmd {
	base := []string{"-I", "lanplus", "-H", d.addr.Addr().String(), "-p", fmt.Sprint(d.addr.Port()), "-U", "admin", "-E"}
	return d.command(ctx, "ipmitool", append(base, args...)...)
}
