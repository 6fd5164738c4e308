package mc_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb/mc"
)

// full is a disk that takes no more.
type full struct{ *mc.MemoryRecords }

func (full) Put(string, []byte) error { return errors.New("no space") }

// Flags whose time is over do not hold, also where nobody takes them back, and
// what another client is writing stays.
func TestBootFlagsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &mc.MemoryRecords{}
		b := newBootRig(t, r)
		run(t, b, admin, []exchange{
			{"flags", "00 08 05 80 04 00 00 00", "00"},
			{"", "00 08 00 01", "00"},
			{"others, without a commit", "00 08 05 80 14 00 00 00", "00"},
		})
		time.Sleep(mc.BootFlagsLast)
		if f := b.Flags(); f.Valid() || f[1] != 0x04 {
			t.Errorf("hold: % x", f)
		}
		b.Controlled() // too late
		if f := b.Flags(); f.Valid() {
			t.Errorf("hold again: % x", f)
		}
		run(t, b, admin, []exchange{
			{"the writer sees its own", "00 09 05 00 00", "00 01 05 80 14 00 00 00"},
			{"commit", "00 08 00 02", "00"},
			{"", "00 08 00 00", "00"},
		})
		time.Sleep(mc.BootFlagsLast - time.Nanosecond)
		if f := b.Flags(); f.Device() != mc.BootCD {
			t.Errorf("after the commit: % x", f)
		}
		time.Sleep(time.Nanosecond)
		run(t, newBootRig(t, r), admin, []exchange{{"another process counts anew", "00 09 05 00 00", "00 01 05 80 14 00 00 00"}})
		if err := b.Expire(); err != nil || !b.Expiry().IsZero() {
			t.Errorf("%v, until %v", err, b.Expiry())
		}
		run(t, newBootRig(t, r), admin, []exchange{{"on disk", "00 09 05 00 00", "00 01 05 00 14 00 00 00"}})
	})
}

// Other parameters do not lengthen the flags' time; who has "valid bit
// clearing" changed is told that the time is another.
func TestBootExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBootRig(t, &mc.MemoryRecords{})
		if !b.Expiry().IsZero() {
			t.Error("no flags, and they expire")
		}
		run(t, b, admin, []exchange{{"", "00 08 05 80 04 00 00 00", "00"}})
		end := time.Now().Add(mc.BootFlagsLast)
		time.Sleep(time.Second)
		run(t, b, admin, []exchange{{"", "00 08 06 01 11223344 55667788", "00"}})
		if !b.Expiry().Equal(end) || len(b.told) != 1 {
			t.Errorf("%v, want %v, told %d times", b.Expiry(), end, len(b.told))
		}
		run(t, b, admin, []exchange{{"", "00 08 03 08", "00"}})
		if !b.Expiry().IsZero() || len(b.told) != 2 {
			t.Errorf("%v, told %d times", b.Expiry(), len(b.told))
		}
		run(t, b, admin, []exchange{{"", "00 08 03 00", "00"}})
		if end := time.Now().Add(mc.BootFlagsLast); !b.Expiry().Equal(end) || len(b.told) != 3 {
			t.Errorf("%v, want %v, told %d times", b.Expiry(), end, len(b.told))
		}
		b.Records = full{}
		time.Sleep(time.Hour)
		if err := b.Expire(); err == nil || b.Flags().Valid() {
			t.Errorf("a full disk: %v, % x", err, b.Flags())
		}
		run(t, b, admin, []exchange{{"a full disk", "00 09 05 00 00", "ff"}, {"", "00 08 03 00", "ff"}})
	})
}
