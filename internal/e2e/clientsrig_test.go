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
	"slices"
	"syscall"
	"testing"
	"time"
)

// guests is the shelf that clients are tried at: they cycle its guests' power,
// and want its doors as they come.
var guests = &fixture{name: "c", yaml: `
nodes:
  - {slot: 1, name: blade1, interface: kcs}
  - {slot: 2, name: blade2, interface: bt}
`}

// lanDoor is a door, and its administrator's password.
type lanDoor struct {
	addr     netip.AddrPort
	password string
}

// clientShelf is the shelf of two blades by its LAN doors.
type clientShelf struct {
	*shelf
	dir     string // of FreeIPMI's files, by place
	manager lanDoor
	boards  []lanDoor
}

// clients brings the shelf up and finds its doors.
func clients(t *testing.T) *clientShelf {
	t.Helper()
	s := &clientShelf{shelf: guests.up(t), dir: t.TempDir()}
	t.Cleanup(func() { s.atEnd("down") })
	for _, d := range s.Doors() {
		password, err := d.Password()
		if err != nil {
			t.Fatal(err)
		}
		one := lanDoor{d.Address, password}
		if d.Target.Shelf {
			s.manager = one
			continue
		}
		s.boards = append(s.boards, one)
	}
	if !s.manager.addr.IsValid() || len(s.boards) != 2 {
		t.Fatalf("doors: %v", s.Doors())
	}
	for i, p := range places {
		dir := filepath.Dir(s.conf(p))
		text := fmt.Appendf(nil, "driver-type LAN_2_0\nusername admin\npassword %s\n", s.doorOf(p).password)
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(s.conf(places[i]), text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// doorOf is the door that a place is behind.
func (s *clientShelf) doorOf(p place) lanDoor {
	if p.isShelf() {
		return s.manager
	}
	return s.boards[0]
}

// conf is FreeIPMI's configuration for a place, in a directory of its own: its
// caches of sensor records are by host, whoever is behind it.
func (s *clientShelf) conf(p place) string {
	i := slices.IndexFunc(places, func(o place) bool { return o.name == p.name })
	return filepath.Join(s.dir, fmt.Sprint(i), "freeipmi.conf")
}

// booted waits until a guest is up again, after another boot than before.
func (s *clientShelf) booted(t *testing.T, name, before string) {
	t.Helper()
	eventually(t, bootLimit, name+" has booted again", func() error {
		r, err := command(t.Context(), "--shelf", s.Name, "exec", name, "--timeout", "10s", "--", "cat", "/proc/sys/kernel/random/boot_id", "/run/ready")
		if err == nil && (r.code != 0 || r.out == before) {
			err = errors.New(r.String())
		}
		return err
	})
}

// command is a client's with an end: one that hangs is a failure, not a wait.
func (d lanDoor) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), "IPMITOOL_PASSWORD="+d.password)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 5 * time.Second
	return c
}
