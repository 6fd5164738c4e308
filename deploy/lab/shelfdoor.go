package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/midplane-project/midplane/deploy/lab/supervise"
	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/shelf"
	"github.com/midplane-project/midplane/shelf/front"
)

// frontName is the process that has the UDP socket of the shelf manager's door.
const frontName = "front"

// ManagerLAN is where the shelf manager's LAN door is; not valid when it has none.
func (l *Lab) ManagerLAN() netip.AddrPort {
	return l.lanAddress(!l.Topology.LAN.Off, l.Topology.LAN.Listen, managerHost)
}

// frontConfig is the file of the front; nil when the shelf manager has no door.
func (l *Lab) frontConfig() *front.Config {
	a := l.ManagerLAN()
	if !a.IsValid() {
		return nil
	}
	c := &front.Config{Listen: a.String()}
	for _, name := range l.replicaNames() {
		c.Replicas = append(c.Replicas, l.lanEntry(name))
	}
	return c
}

// lanEntry is where a replica takes the door's datagrams.
func (l *Lab) lanEntry(replica string) string { return "unix:" + l.socket(replica, "lan") }

// replicaLAN is the shelf manager's door in the file of a replica.
func (l *Lab) replicaLAN(name string) *shelf.LANDoor {
	a := l.ManagerLAN()
	if !a.IsValid() {
		return nil
	}
	return &shelf.LANDoor{
		Listen: l.lanEntry(name), Address: a.String(), Style: l.Topology.LAN.Style, Settings: l.Topology.LAN.Settings(),
		Key: l.lanKeyPath(), Password: l.LANPasswordPath(),
	}
}

// lanKeyPath has the key that seals what the replicas keep of the door's users
// and sessions.
func (l *Lab) lanKeyPath() string { return filepath.Join(l.StateDir, "lan-key") }

const lanKeyLen = 32

// ensureLANKey makes the key once.
func (l *Lab) ensureLANKey() error {
	_, err := os.Stat(l.lanKeyPath())
	if !l.ManagerLAN().IsValid() || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key := make([]byte, lanKeyLen)
	_, _ = rand.Read(key) // it never fails
	return jsonfile.Replace(l.lanKeyPath(), key)
}

// frontReady reports whether a replica answers at the shelf manager's door.
func (l *Lab) frontReady(ctx context.Context, p *supervise.Process) (string, error) {
	if err := l.starts(p); err != nil {
		return "", err
	}
	a := l.ManagerLAN()
	if err := ping(ctx, a); err != nil {
		return "", fmt.Errorf("nobody answers at %s: %w", a, err)
	}
	return fmt.Sprintf("✓ the shelf's LAN door is at %s", a), nil
}

// FrontTrouble says why nobody passes datagrams from the shelf manager's LAN
// door to its replicas, and what to do; empty when the front runs, and in a
// shelf that has none or is down.
func (l *Lab) FrontTrouble() (what, do string) { return l.trouble(frontName) }

// DoorTrouble is FrontTrouble where a replica leads, who then answers at the door:
// also that nobody does, however often he is asked until a time has passed.
func (l *Lab) DoorTrouble(ctx context.Context, patience time.Duration) (what, do string) {
	if what, do := l.FrontTrouble(); what != "" || !l.planned(frontName) {
		return what, do
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a := l.ManagerLAN()
	if err := pingAgain(ctx, a); err != nil {
		return "nobody answers at " + a.String(), "see midplane logs front"
	}
	return "", ""
}

// pingLimit is how long a door may take to answer a ping.
const pingLimit = 500 * time.Millisecond

// ping asks an RMCP door for a sign of life.
func ping(ctx context.Context, a netip.AddrPort) error {
	conn, err := dialDoor(ctx, a)
	if err != nil {
		return err
	}
	defer conn.Close()
	return pingOn(conn)
}

// pingAgain asks until there is an answer, which may be that to an earlier one,
// nobody has the address, or ctx ends.
func pingAgain(ctx context.Context, a netip.AddrPort) error {
	conn, err := dialDoor(ctx, a)
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		if err := pingOn(conn); !errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil {
			return err
		}
	}
}

func dialDoor(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "udp", a.String())
}

// pingOn sends a Presence Ping (ASF 2.0 §3.2.4.1).
func pingOn(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(pingLimit)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte{6, 0, 0xFF, 6, 0, 0, 0x11, 0xBE, 0x80, 1, 0, 0}); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 64))
	return err
}
