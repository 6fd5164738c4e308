package rmcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
)

func TestNeighbour(t *testing.T) {
	table := []byte("IP address       HW type     Flags       HW address            Mask     Device\n" +
		"192.0.2.10       0x1         0x2         52:54:00:12:34:56     *        eth0\n" +
		"192.0.2.1        0x1         0x0         00:00:00:00:00:00     *        eth0\n" +
		"192.0.2.2        0x1         0x2         nonsense              *        eth0\n" +
		"192.0.2.3\n")
	for addr, want := range map[string][macLen]byte{
		"192.0.2.10": {0x52, 0x54, 0, 0x12, 0x34, 0x56},
		"192.0.2.1":  {}, "192.0.2.2": {}, "192.0.2.3": {}, "192.0.2.4": {}, "2001:db8::1": {},
	} {
		if got := neighbour(table, netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: % x, want % x", addr, got, want)
		}
	}
}

// A console's address is there if four bytes can hold it; its port in any case.
func TestInfoAddresses(t *testing.T) {
	for peer, want := range map[string][]byte{
		"127.0.0.1:513":          {127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2},
		"[::ffff:127.0.0.1]:513": {127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2},
		"[::1]:513":              {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2},
		"[2001:db8::1]:513":      {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2},
	} {
		if got := new(Sessions).appendPeer(nil, netip.MustParseAddrPort(peer)); !bytes.Equal(got, want) {
			t.Errorf("%s: % x, want % x", peer, got, want)
		}
	}
}

// Nobody waits for the kernel but who asks.
func TestInfoReadsWithoutTheLock(t *testing.T) {
	s := newSite(t)
	table := filepath.Join(t.TempDir(), "arp")
	if err := syscall.Mkfifo(table, 0o600); err != nil {
		t.Fatal(err)
	}
	s.neighbours = table
	c := s.client(s.cfg.Suites[1], "admin", "secret", 0x14)
	if got := c.login(nil); got != StatusOK {
		t.Fatal(got)
	}
	told := make(chan []byte, 1)
	go func() {
		out, _ := s.info(context.Background(), &ipmb.Request{Data: []byte{1}})
		told <- out
	}()
	f, err := os.OpenFile(table, os.O_WRONLY, 0) // when it is being read
	if err != nil {
		t.Fatal(err)
	}
	if s.mu.TryLock() {
		s.mu.Unlock()
	} else {
		t.Error("the sessions are locked meanwhile")
	}
	a := source.Addr()
	_, err = fmt.Fprintf(f, "%s 0x1 0x2 52:54:00:12:34:56 * eth0\n", a)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	ip := a.As4()
	want := append(append([]byte{1, MaxSessions, 1, 2, 2, 0x11}, ip[:]...), 0x52, 0x54, 0, 0x12, 0x34, 0x56)
	if got := <-told; !bytes.HasPrefix(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
}
