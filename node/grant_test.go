package node

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/internal/kv"
)

// Set Power Level of the shelf's is the grant; that of the own guest is not.
func TestGrantBySetPowerLevel(t *testing.T) {
	for _, c := range []struct{ by, ask, want string }{
		{byShelf, "2c 11 00 00 01 00", "grant on"},
		{byShelf, "2c 11 00 00 00 00", "off revoke"},
		{byShelf, "2c 11 00 00 ff 00", ""},
		{byShelf, "2c 11 00 00 02 00", ""},
		{byGuest, "2c 11 00 00 00 00", "off"},
		{byGuest, "2c 11 00 00 01 00", ""},
	} {
		b := newBoard(t, ProfileATCA)
		ask := b.guest
		if c.by == byShelf {
			ask = b.shelf
		}
		ask(c.ask)
		if got := strings.Join(b.vm.took(), " "); got != c.want {
			t.Errorf("%s asks %s: did %q, want %q", c.by, c.ask, got, c.want)
		}
	}
}

func TestGrantIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), storeFile)
	for _, want := range []bool{true, false, true} { // granted at first
		db, err := kv.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := store{db}.start()
		if err != nil || s.granted != want {
			t.Errorf("granted %v, want %v; %v", s.granted, want, err)
		}
		if err := (store{db}).saveGranted(!want); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
