package node

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/midplane-project/midplane/ipmb/mc"
)

// What the log says of its room follows what is in it, and a reservation ends
// with what it was made for.
func TestSELSpace(t *testing.T) {
	eachEnd(t, func(t *testing.T, b *board, restart func()) {
		const add = "0a 44 00 00 f0 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d"
		for _, s := range []struct{ ask, want, entries, free string }{
			{"0a 42", "00 01 00", "00 00", "00 10"},
			{add, "00 01 00", "01 00", "ff 0f"},
			{add, "00 02 00", "02 00", "fe 0f"},
			{"0a 46 01 00 01 00", "00 01 00", "01 00", "ff 0f"},
			{"0a 46 01 00 02 00", "c5", "01 00", "ff 0f"}, // reserved before the deletion
			{add, "00 03 00", "02 00", "fe 0f"},
			{"0a 42", "00 02 00", "02 00", "fe 0f"},
			{"0a 47 02 00 43 4c 52 aa", "00 01", "00 00", "00 10"},
			{"0a 47 02 00 43 4c 52 aa", "c5", "00 00", "00 10"},
		} {
			if got := b.guest(s.ask); got != s.want {
				t.Errorf("%s: %s, want %s", s.ask, got, s.want)
			}
			restart()
			if got := b.guest("0a 40"); got[6:11] != s.entries {
				t.Errorf("after %s: info %s, want %s entries", s.ask, got, s.entries)
			}
			if got, want := b.guest("0a 41"), "00 00 10 10 00 "+s.free+" "+s.free+" 01"; got != want {
				t.Errorf("after %s: allocation %s, want %s", s.ask, got, want)
			}
		}
		time.Sleep(time.Hour)
		before := b.guest("0a 40")
		b.guest(add)
		if after := b.guest("0a 40"); after[18:29] == before[18:29] || after[30:41] != before[30:41] {
			t.Errorf("an addition an hour later made of the times %s: %s", before, after)
		}
	})
}

// The controller says what its configuration and its VM are; its own GUID is
// its own, whatever those are.
func TestIdentityFollows(t *testing.T) {
	b := newBoard(t, ProfileServer)
	const device, system = "00 20 81 00 10 02 bf 00 00 00 00 00", "00 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f"
	own := b.guest("06 08")
	if got := b.guest("06 01"); got[:len(device)] != device || b.guest("06 37") != system {
		t.Errorf("%s; system GUID %s", got, b.guest("06 37"))
	}
	b.id.Manufacturer, b.id.Product = 0x00315A, 0x4321
	b.id.SystemGUID = mc.GUID(uuid.MustParse("0f0e0d0c-0b0a-0908-0706-050403020100"))
	b.stop()
	b.start()
	if got, want := b.guest("06 01"), "00 20 81 00 10 02 bf 5a 31 00 21 43"; got[:len(want)] != want {
		t.Errorf("device ID %s, want %s", got, want)
	}
	if got, want := b.guest("06 37"), "00 0c 0d 0e 0f 0a 0b 08 09 07 06 05 04 03 02 01 00"; got != want {
		t.Errorf("system GUID %s, want %s", got, want)
	}
	if got := b.guest("06 08"); got != own {
		t.Errorf("device GUID %s, was %s", got, own)
	}
	if another := newBoard(t, ProfileServer); another.guest("06 08") == own {
		t.Error("two nodes have one GUID")
	}
}
