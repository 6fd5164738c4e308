package lab

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

// A door that an IPMI command has moved is looked for where it is.
func TestMovedDoor(t *testing.T) {
	b := newBench(t, small)
	l, _ := b.up()
	first := b.door(l, "a")
	at, err := l.ResolveTarget("a")
	if err != nil {
		t.Fatal(err)
	}
	where := func(want netip.AddrPort) {
		t.Helper()
		d, err := l.Door(at)
		if err != nil || d.Address != want || l.Doors()[1].Address != want {
			t.Errorf("%+v and %+v, %v, want %v", d, l.Doors()[1], err, want)
		}
	}
	where(first)
	for text, want := range map[string]netip.AddrPort{"127.78.0.9:6230\n": netip.MustParseAddrPort("127.78.0.9:6230"), "nonsense": first, "": first} {
		if err := os.WriteFile(filepath.Join(l.NodeDir("a"), "lan-address"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		where(want)
	}
}
