package mc_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// bootRig is boot options with their commands, and the flags that were told.
type bootRig struct {
	*mc.BootOptions
	*ipmb.Mux
	told []mc.BootFlags
	fail error
}

func newBootRig(t *testing.T, r mc.Records) *bootRig {
	t.Helper()
	b := &bootRig{BootOptions: &mc.BootOptions{Records: r}}
	if err := b.Load(); err != nil {
		t.Fatal(err)
	}
	b.Changed = func(context.Context) error {
		b.told = append(b.told, b.Flags())
		return b.fail
	}
	b.Mux = ipmb.NewMux(b.BootOptions.Commands())
	return b
}

const zeros16 = " 00000000000000000000000000000000"

func TestBootParameters(t *testing.T) {
	run(t, newBootRig(t, &mc.MemoryRecords{}), admin, []exchange{
		{"in the beginning", "00 09 00 00 00", "00 01 00 00"},
		{"service partition", "00 08 01 0b", "00"},
		{"", "00 09 01 00 00", "00 01 01 0b"},
		{"partition scan", "00 08 02 01", "00"},
		{"", "00 09 02 00 00", "00 01 02 01"},
		{"valid bit clearing", "00 08 03 15", "00"},
		{"", "00 09 03 00 00", "00 01 03 15"},
		{"acknowledge, all bits", "00 08 04 ff 1f", "00"},
		{"acknowledge, two bits", "00 08 04 03 02", "00"},
		{"the mask reads as zero", "00 09 04 00 00", "00 01 04 00 1e"},
		{"flags", "00 08 05 e0 04 00 00 00", "00"},
		{"", "00 09 05 00 00", "00 01 05 e0 04 00 00 00"},
		{"initiator", "00 08 06 01 11223344 55667788", "00"},
		{"", "00 09 06 00 00", "00 01 06 01 11223344 55667788"},
		{"mailbox, block 4", "00 08 07 04 000102030405060708090a0b0c0d0e0f", "00"},
		{"", "00 09 07 04 00", "00 01 07 04 000102030405060708090a0b0c0d0e0f"},
		{"shorter, the rest is zero", "00 08 07 04 ff", "00"},
		{"", "00 09 07 04 00", "00 01 07 04 ff000000000000000000000000000000"},
		{"another block", "00 09 07 00 00", "00 01 07 00" + zeros16},
		{"marked invalid", "00 08 85", "00"},
		{"with its data", "00 09 05 00 00", "00 01 85 e0 04 00 00 00"},
		{"invalid with new data", "00 08 83 00", "00"},
		{"", "00 09 03 00 00", "00 01 83 00"},
		{"valid again", "00 08 05", "00"},
		{"", "00 09 05 00 00", "00 01 05 e0 04 00 00 00"},
		{"parameter 0 is always valid", "00 08 80", "00"},
		{"", "00 09 00 00 00", "00 01 00 00"},
	})
}

func TestBootParametersRefused(t *testing.T) {
	for _, p := range []string{"01 0b 0b", "02 01 01", "03 00 00", "04 ff", "05 80 04 00 00", "05 80 04 00 00 00 00", "06 01", "07 00", "00 01 01", "07 00 00" + zeros16} {
		run(t, newBootRig(t, &mc.MemoryRecords{}), admin, []exchange{{"length", "00 08" + p, "c7"}})
	}
	run(t, newBootRig(t, &mc.MemoryRecords{}), admin, []exchange{
		{"no parameter", "00 08", "c7"},
		{"no block selector", "00 09 05 00", "c7"},
		{"unknown", "00 08 08 00", "80"},
		{"OEM", "00 08 60 00", "80"},
		{"unknown", "00 09 08 00 00", "80"},
		{"reserved bit", "00 09 85 00 00", "cc"},
		{"set in progress 3", "00 08 00 03", "cc"},
		{"no such block", "00 08 07 05 00", "c9"},
		{"ipmitool reads blocks until this", "00 09 07 05 00", "c9"},
		{"nothing to commit", "00 08 00 02", "d5"},
	})
	user := ipmb.Origin{Door: ipmb.DoorLAN, Privilege: ipmb.PrivilegeUser}
	run(t, newBootRig(t, &mc.MemoryRecords{}), user, []exchange{{"a user", "00 08 05", "d4"}, {"", "00 09 05 00 00", "d4"}})
}

// What ipmitool chassis bootdev pxe options=persistent,efiboot sends holds from
// its commit on.
func TestBootCommit(t *testing.T) {
	b := newBootRig(t, &mc.MemoryRecords{})
	run(t, b, admin, []exchange{
		{"", "00 08 00 01", "00"},
		{"", "00 08 04 01 01", "00"},
		{"", "00 08 05 e0 04 00 00 00", "00"},
		{"the writer sees it", "00 09 05 00 00", "00 01 05 e0 04 00 00 00"},
		{"", "00 09 00 00 00", "00 01 00 01"},
	})
	if b.Flags().Valid() || len(b.told) > 0 {
		t.Errorf("before the commit: % x, told % x", b.Flags(), b.told)
	}
	run(t, b, admin, []exchange{
		{"commit", "00 08 00 02", "00"},
		{"still in progress", "00 09 00 00 00", "00 01 00 01"},
		{"complete", "00 08 00 00", "00"},
		{"", "00 09 05 00 00", "00 01 05 e0 04 00 00 00"},
	})
	if f := b.Flags(); f.Device() != mc.BootPXE || !f.Persistent() || len(b.told) != 1 || b.told[0] != f {
		t.Errorf("% x, told % x", f, b.told)
	}
}

func TestBootRollback(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *bootRig, *mc.MemoryRecords) *bootRig{
		"set complete": func(t *testing.T, b *bootRig, _ *mc.MemoryRecords) *bootRig {
			run(t, b, admin, []exchange{{"", "00 08 00 00", "00"}})
			return b
		},
		"a boot": func(t *testing.T, b *bootRig, _ *mc.MemoryRecords) *bootRig {
			if err := b.Booted(b.Flags(), mc.BootByCommand); err != nil {
				t.Error(err)
			}
			return b
		},
		"a restart": func(t *testing.T, _ *bootRig, r *mc.MemoryRecords) *bootRig { return newBootRig(t, r) },
	} {
		t.Run(name, func(t *testing.T) {
			r := &mc.MemoryRecords{}
			b := newBootRig(t, r)
			run(t, b, admin, []exchange{
				{"", "00 08 03 01", "00"},
				{"", "00 08 00 01", "00"},
				{"by another", "00 08 00 01", "81"},
				{"", "00 08 03 1f", "00"},
				{"", "00 08 05 80 04 00 00 00", "00"},
			})
			run(t, end(t, b, r), admin, []exchange{
				{"", "00 09 00 00 00", "00 01 00 00"},
				{"", "00 09 03 00 00", "00 01 03 01"},
				{"", "00 09 05 00 00", "00 01 05 00 00 00 00 00"},
				{"free again", "00 08 00 01", "00"},
			})
		})
	}
}

func TestBootOptionsAreKept(t *testing.T) {
	r := &mc.MemoryRecords{}
	run(t, newBootRig(t, r), admin, []exchange{
		{"", "00 08 05 c0 14 00 00 00", "00"}, {"", "00 08 07 02 41", "00"}, {"", "00 08 86", "00"},
	})
	b := newBootRig(t, r)
	run(t, b, admin, []exchange{
		{"", "00 09 05 00 00", "00 01 05 c0 14 00 00 00"},
		{"", "00 09 07 02 00", "00 01 07 02 41000000000000000000000000000000"},
		{"", "00 09 06 00 00", "00 01 86 000000000000000000"},
	})
	if b.Flags().Device() != mc.BootCD {
		t.Errorf("device %v", b.Flags().Device())
	}
	if err := r.Put("boot", []byte{1, 2}); err != nil {
		t.Fatal(err)
	}
	if err := (&mc.BootOptions{Records: r}).Load(); err == nil {
		t.Error("a record of another length was read")
	}
}

// The valid bit goes with one boot, unless the flags are persistent or the
// reason of the boot is one that "valid bit clearing" leaves it at.
func TestBootedTakesTheValidBit(t *testing.T) {
	reasons := []mc.BootReason{mc.BootByCommand, mc.BootByPowerButton, mc.BootByReset, mc.BootByWatchdog, mc.BootByPEF}
	for _, persistent := range []bool{false, true} {
		for _, mask := range []byte{0x00, 0x01, 0x02, 0x04, 0x10, 0x17} {
			for _, why := range reasons {
				b := newBootRig(t, &mc.MemoryRecords{})
				first := "80"
				if persistent {
					first = "c0"
				}
				run(t, b, admin, []exchange{
					{"", fmt.Sprintf("00 08 03 %02x", mask), "00"},
					{"", "00 08 04 1f 1f", "00"},
					{"", "00 08 05 " + first + " 04 00 00 00", "00"},
				})
				if err := b.Booted(b.Flags(), why); err != nil {
					t.Fatal(err)
				}
				want := persistent || mask&byte(why) != 0
				if got := b.Flags().Valid(); got != want {
					t.Errorf("persistent %v, clearing %#x, boot for %#x: valid %v", persistent, mask, why, got)
				}
				run(t, b, admin, []exchange{{"the firmware has handled it", "00 09 04 00 00", "00 01 04 00 1e"}})
			}
		}
	}
}

// A boot uses the flags that it went by, not those that came in the meantime.
func TestBootedByEarlierFlags(t *testing.T) {
	b := newBootRig(t, &mc.MemoryRecords{})
	run(t, b, admin, []exchange{{"", "00 08 05 80 04 00 00 00", "00"}})
	if err := b.Booted(mc.BootFlags{}, mc.BootByCommand); err != nil || !b.Flags().Valid() {
		t.Errorf("flags % x, %v", b.Flags(), err)
	}
}

func TestBootFlagsInvalid(t *testing.T) {
	b := newBootRig(t, &mc.MemoryRecords{})
	run(t, b, admin, []exchange{{"", "00 08 05 80 04 00 00 00", "00"}, {"", "00 08 85", "00"}})
	if b.Flags() != (mc.BootFlags{}) || len(b.told) != 2 {
		t.Errorf("invalid flags hold: % x, told % x", b.Flags(), b.told)
	}
	if d := (mc.BootFlags{0x00, 0x04}).Device(); d != mc.BootDefault {
		t.Errorf("flags that are not valid ask for %v", d)
	}
}

func TestBootOptionsThatFail(t *testing.T) {
	b := newBootRig(t, &fullDisk{})
	run(t, b, admin, []exchange{
		{"disk full", "00 08 05 80 04 00 00 00", "ff"},
		{"nothing changed", "00 09 05 00 00", "00 01 05 00 00 00 00 00"},
	})
	if len(b.told) > 0 {
		t.Errorf("told % x", b.told)
	}
	b = newBootRig(t, &mc.MemoryRecords{})
	b.fail = ipmb.ErrBusy
	run(t, b, admin, []exchange{{"VM not told", "00 08 05 80 04 00 00 00", "c0"}})
}

// fullDisk is records that cannot be written.
type fullDisk struct{ mc.MemoryRecords }

func (*fullDisk) Put(string, []byte) error { return errors.New("disk full") }

// Whatever is sent, what can be read has its parameter's length, and nothing
// that was refused has changed anything.
func FuzzBootOptions(f *testing.F) {
	for _, seed := range []string{"\x05\x80\x04\x00\x00\x00", "\x00\x01", "\x00\x02", "\x87\x04\xff", "\x04\x01\x01"} {
		f.Add([]byte(seed))
	}
	lengths := []int{3, 3, 3, 3, 4, 7, 11, 19}
	b := &mc.BootOptions{Records: &mc.MemoryRecords{}}
	mux := ipmb.NewMux(b.Commands())
	ask := func(cmd ipmb.Cmd, data ...byte) ipmb.Response {
		return mux.ServeIPMI(context.Background(), &ipmb.Request{NetFn: ipmb.NetFnChassis, Cmd: cmd, Data: data, Origin: admin})
	}
	all := func() (s string) {
		for p := range lengths {
			for block := range 5 {
				s += string(ask(0x09, byte(p), byte(block), 0).Data)
			}
		}
		return s
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := all()
		if r := ask(0x08, data...); r.Code != ipmb.OK && all() != before {
			t.Errorf("% x was refused (%v) and changed something", data, r.Code)
		}
		for p, n := range lengths {
			if r := ask(0x09, byte(p), 0, 0); r.Code != ipmb.OK || len(r.Data) != n || r.Data[1]&0x7F != byte(p) {
				t.Errorf("parameter %d: %v % x", p, r.Code, r.Data)
			}
		}
	})
}
