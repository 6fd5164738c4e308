package mc_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
)

// twoFRUs are a controller's own, and a small write-protected one.
var twoFRUs = []mc.FRU{
	{ID: 0, Content: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
	{ID: 3, Content: []byte{0xAA, 0xBB}, Size: 256, ReadOnly: true, Name: "mezzanine", Entity: sdr.Entity{ID: sdr.EntityAMC, Instance: 0x61}},
}

func newFRUs(t testing.TB, records mc.Records, list ...mc.FRU) *ipmb.Mux {
	t.Helper()
	f, err := mc.NewFRUs(list, records)
	if err != nil {
		t.Fatal(err)
	}
	return ipmb.NewMux(f.Commands())
}

func TestFRUCommands(t *testing.T) {
	run(t, newFRUs(t, new(mc.MemoryRecords), twoFRUs...), admin, []exchange{
		{"info", "0A 10 00", "00 0010 00"},
		{"info of the small one", "0A 10 03", "00 0010 00"},
		{"no such FRU", "0A 10 01", "CB"},
		{"info without id", "0A 10", "C7"},
		{"read", "0A 11 00 0000 08", "00 08 0102030405060708"},
		{"read on", "0A 11 00 0600 04", "00 04 0708 FFFF"},
		{"read over the end of the EEPROM", "0A 11 03 FE00 04", "00 04 FFFFFFFF"},
		{"read the last two of the size", "0A 11 03 FE0F 10", "00 02 FFFF"},
		{"read nothing", "0A 11 00 0000 00", "00 00"},
		{"read behind the end", "0A 11 03 0010 01", "C9"},
		{"read from afar", "0A 11 00 FFFF 01", "C9"},
		{"read too much", "0A 11 00 0000 E1", "CA"},
		{"read no such FRU", "0A 11 FE 0000 08", "CB"},
		{"read, short", "0A 11 00 0000", "C7"},
		{"write", "0A 12 00 0200 DEADBE", "00 03"},
		{"is read back", "0A 11 00 0000 08", "00 08 0102DEADBE060708"},
		{"write over the end", "0A 12 00 FE07 112233", "00 02"},
		{"what was written of it", "0A 11 00 FD07 06", "00 06 FF1122FFFFFF"},
		{"the beginning is as it was", "0A 11 00 0000 01", "00 01 01"},
		{"write behind the EEPROM", "0A 12 00 0008 11", "C9"},
		{"write back what is there", "0A 12 00 FF07 22FFFF", "00 03"},
		{"write back what is behind", "0A 12 00 FE0F FFFF", "00 02"},
		{"write over the end of the size", "0A 12 00 FF0F FFFF", "C9"},
		{"write behind it", "0A 12 00 0010 FF", "C9"},
		{"write nothing", "0A 12 00 0000", "C7"},
		{"write no such FRU", "0A 12 02 0000 11", "CB"},
		{"write-protected", "0A 12 03 0000 11", "80"},
		{"and unchanged", "0A 11 03 0000 02", "00 02 AABB"},
		{"write more than can be counted", "0A 12 00 0000" + strings.Repeat("11", 256), "C8"},
	})
}

func TestFRUPrivileges(t *testing.T) {
	m := newFRUs(t, new(mc.MemoryRecords), twoFRUs...)
	user, operator := admin, admin
	user.Privilege, operator.Privilege = ipmb.PrivilegeUser, ipmb.PrivilegeOperator
	run(t, m, user, []exchange{
		{"a user reads", "0A 11 00 0000 01", "00 01 01"},
		{"and does not write", "0A 12 00 0000 11", "D4"},
	})
	run(t, m, operator, []exchange{
		{"an operator writes", "0A 12 00 0000 11", "00 01"},
		{"but not on a bus", "06 52 01 A0 01 00", "D4"},
	})
}

func TestMasterWriteRead(t *testing.T) {
	run(t, newFRUs(t, new(mc.MemoryRecords), twoFRUs...), admin, []exchange{
		{"ipmitool i2c bus=0 0xa0 4 0", "06 52 01 A0 04 00", "00 01020304"},
		{"goes on", "06 52 01 A0 03", "00 050607"},
		{"goes on, whatever the block", "06 52 01 AE 02", "00 08FF"},
		{"the channel of a private bus is ignored", "06 52 F1 A0 01 01", "00 02"},
		{"is somebody there", "06 52 01 A0 00", "00"},
		{"write", "06 52 01 A2 00 10 C0FFEE", "00"},
		{"by the FRU command", "0A 11 00 1001 03", "00 03 C0FFEE"},
		{"write and read on", "06 52 01 A2 02 10 C1", "00 FFEE"},
		{"write by the FRU command", "0A 12 00 FF02 4142", "00 02"},
		{"over the block's end", "06 52 01 A4 02 FF", "00 4142"},
		{"over the end it begins anew", "06 52 01 AE 00 FF 5A5B", "00"},
		{"the first byte", "0A 11 00 0000 01", "00 01 5B"},
		{"the last byte, and on", "06 52 01 AE 02 FF", "00 5A5B"},
		{"bus of FRU 3", "06 52 07 A0 02 00", "00 AABB"},
		{"write-protected", "06 52 07 A0 00 00 11", "83"},
		{"unchanged", "06 52 07 A0 02 00", "00 AABB"},
		{"256 bytes have one address", "06 52 07 A2 01 00", "83"},
		{"nobody there", "06 52 01 50 01", "83"},
		{"read bit in the address", "06 52 01 A1 01", "CC"},
		{"no such private bus", "06 52 03 A0 01 00", "CC"},
		{"public bus", "06 52 00 A0 01 00", "CC"},
		{"too many bytes", "06 52 01 A0 E1 00", "CA"},
		{"short", "06 52 01 A0", "C7"},
	})
}

// What was answered is there for the next process, and outlives what the FRU
// is made with.
func TestFRUsAreKept(t *testing.T) {
	records := new(mc.MemoryRecords)
	run(t, newFRUs(t, records, twoFRUs...), admin, []exchange{{"write", "0A 12 00 0100 77", "00 01"}, {"on a bus", "06 52 01 AE 00 FF 99", "00"}})
	made := []mc.FRU{{ID: 0, Content: []byte("another"), Size: 512}, {ID: 3, Content: []byte{0xCC}}}
	run(t, newFRUs(t, records, made...), admin, []exchange{
		{"as written", "0A 11 00 0000 04", "00 04 01770304"},
		{"no smaller", "06 52 01 AE 01 FF", "00 99"},
		{"as made, since nobody wrote", "0A 11 03 0000 02", "00 02 CCFF"},
		{"of the new size", "0A 12 03 FF07 11", "00 01"},
	})
}

func TestFRULists(t *testing.T) {
	for name, list := range map[string][]mc.FRU{
		"twice":         {{ID: 1}, {ID: 1}},
		"reserved":      {{ID: 0xFF}},
		"no such chip":  {{ID: 1, Size: 300}},
		"does not fit":  {{ID: 1, Content: make([]byte, 257), Size: 256}},
		"none so large": {{ID: 1, Content: make([]byte, 2049)}},
	} {
		if _, err := mc.NewFRUs(list, new(mc.MemoryRecords)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	run(t, newFRUs(t, new(mc.MemoryRecords), mc.FRU{ID: 8}), admin, []exchange{
		{"FRU 8", "0A 10 08", "00 0010 00"},
		{"is on no bus", "06 52 01 A0 01 00", "CC"},
	})
	want := &sdr.FRULocator{
		Owner: 0x82, FRU: 3, Logical: true, DeviceType: sdr.LogicalFRU, Name: "mezzanine",
		Entity: sdr.Entity{ID: sdr.EntityAMC, Instance: 0x61},
	}
	if d := cmp.Diff(want, twoFRUs[1].Locator(0x82)); d != "" {
		t.Error(d)
	}
}

// disk is a Records that fails, or takes its time.
type disk struct {
	mc.MemoryRecords
	fail error
	hold chan struct{}
}

func (d *disk) Get(name string) ([]byte, error) {
	if d.fail != nil {
		return nil, d.fail
	}
	return d.MemoryRecords.Get(name)
}

func (d *disk) Put(name string, value []byte) error {
	if d.hold != nil {
		<-d.hold
	}
	if d.fail != nil {
		return d.fail
	}
	return d.MemoryRecords.Put(name, value)
}

// What cannot be stored is neither answered nor there.
func TestFRUNotStored(t *testing.T) {
	d := new(disk)
	m := newFRUs(t, d, twoFRUs...)
	d.fail = errors.New("no space")
	run(t, m, admin, []exchange{
		{"write", "0A 12 00 0000 77", "FF"},
		{"on the bus", "06 52 01 A0 00 00 77", "FF"},
		{"unchanged", "0A 11 00 0000 01", "00 01 01"},
	})
	if _, err := mc.NewFRUs(twoFRUs, d); !errors.Is(err, d.fail) {
		t.Errorf("opened: %v", err)
	}
}

// While a write is being stored, reads give what was there, and another write
// waits no longer than its client does.
func TestFRUBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{hold: make(chan struct{})}
		m := newFRUs(t, d, twoFRUs...)
		done := make(chan struct{})
		go func() {
			run(t, m, admin, []exchange{{"slow write", "0A 12 00 0000 77", "00 01"}})
			close(done)
		}()
		synctest.Wait()
		start := time.Now()
		run(t, m, admin, []exchange{{"read", "0A 11 00 0000 01", "00 01 01"}})
		if took := time.Since(start); took != 0 {
			t.Errorf("the read took %v", took)
		}
		run(t, m, admin, []exchange{{"write", "0A 12 00 0000 78", "81"}, {"on the bus", "06 52 01 A0 00 00 79", "81"}})
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("two writes waited for %v", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		rs := m.ServeIPMI(ctx, &ipmb.Request{NetFn: 0x0A, Cmd: 0x12, Data: []byte{0, 0, 0, 1}, Origin: admin})
		if rs.Code != ipmb.ErrFRUBusy || time.Since(start) != 2*time.Second {
			t.Errorf("a write that is given up: %v", rs.Code)
		}
		close(d.hold)
		<-done
		run(t, m, admin, []exchange{
			{"now", "0A 11 00 0000 01", "00 01 77"},
			{"write again", "0A 12 00 0000 78", "00 01"},
			{"is there", "06 52 01 A0 01 00", "00 78"},
		})
	})
}

// Against a slice: both commands, with new processes between them.
func TestFRUModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{256, 512, 1024, 2048}).Draw(t, "size")
		made := []mc.FRU{{ID: 2, Size: size, Content: rapid.SliceOfN(rapid.Byte(), 0, size).Draw(t, "content")}}
		want := append(bytes.Clone(made[0].Content), bytes.Repeat([]byte{0xFF}, size-len(made[0].Content))...)
		records, counter := new(mc.MemoryRecords), 0
		var m *ipmb.Mux
		start := func(t *rapid.T) {
			f, err := mc.NewFRUs(made, records)
			if err != nil {
				t.Fatal(err)
			}
			m, counter = ipmb.NewMux(f.Commands()), 0
		}
		ask := func(t *rapid.T, n ipmb.NetFn, c ipmb.Cmd, data, want []byte) {
			rs := m.ServeIPMI(context.Background(), &ipmb.Request{NetFn: n, Cmd: c, Data: data, Origin: admin})
			if rs.Code != ipmb.OK || !bytes.Equal(rs.Data, want) {
				t.Fatalf("%02x/%02x % x: %v % x, want % x", n, c, data, rs.Code, rs.Data, want)
			}
		}
		start(t)
		some := rapid.SliceOfN(rapid.Byte(), 1, 40)
		t.Repeat(map[string]func(*rapid.T){
			"restart": start,
			"write": func(t *rapid.T) {
				at, data := rapid.IntRange(0, size-1).Draw(t, "at"), some.Draw(t, "data")
				n := copy(want[at:], data)
				if len(bytes.Trim(data[n:], "\xFF")) == 0 {
					n = len(data)
				}
				ask(t, 0x0A, 0x12, append([]byte{2, byte(at), byte(at >> 8)}, data...), []byte{byte(n)})
			},
			"read": func(t *rapid.T) {
				at, n := rapid.IntRange(0, size-1).Draw(t, "at"), rapid.IntRange(0, 224).Draw(t, "n")
				part := slices.Concat(want[at:], bytes.Repeat([]byte{0xFF}, n))[:n]
				ask(t, 0x0A, 0x11, []byte{2, byte(at), byte(at >> 8), byte(n)}, append([]byte{byte(len(part))}, part...))
			},
			"transfer": func(t *rapid.T) {
				at, data, n := rapid.IntRange(-1, size-1).Draw(t, "at"), some.Draw(t, "data"), rapid.IntRange(0, 224).Draw(t, "n")
				request := []byte{2<<1 | 1, 0xA0, byte(n)}
				if at >= 0 {
					request[1] |= byte(at >> 8 << 1)
					request = append(append(request, byte(at)), data...)
					for counter = at; len(data) > 0; data = data[1:] {
						want[counter] = data[0]
						counter = (counter + 1) % size
					}
				}
				var out []byte
				for ; n > 0; n-- {
					out = append(out, want[counter])
					counter = (counter + 1) % size
				}
				ask(t, 0x06, 0x52, request, out)
			},
		})
	})
}

// Whatever is asked, the answer has a code and fits every door, and a second
// device with the same records says the same.
func FuzzFRUs(f *testing.F) {
	for _, s := range []string{"1000", "1100000020", "120010004142", "5201a00400", "5201ae00ff4142"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) == 0 {
			return
		}
		records := new(mc.MemoryRecords)
		m := newFRUs(t, records, twoFRUs...)
		req := &ipmb.Request{NetFn: ipmb.NetFnStorage, Cmd: ipmb.Cmd(raw[0]), Data: raw[1:], Origin: admin}
		if raw[0] == 0x52 {
			req.NetFn = ipmb.NetFnApp
		}
		rs := m.ServeIPMI(t.Context(), req)
		if rs.Code == ipmb.ErrUnspecified || len(rs.Data) > 225 {
			t.Fatalf("%v % x", rs.Code, rs.Data)
		}
		if a, b := whole(t, m), whole(t, newFRUs(t, records, twoFRUs...)); a != b {
			t.Fatalf("%s, after a restart %s", a, b)
		}
	})
}

// whole reads both FRUs in small steps.
func whole(t *testing.T, m *ipmb.Mux) string {
	t.Helper()
	var s strings.Builder
	for _, one := range twoFRUs {
		for at := 0; ; at += 128 {
			data := []byte{one.ID, byte(at), byte(at >> 8), 128}
			rs := m.ServeIPMI(t.Context(), &ipmb.Request{NetFn: 0x0A, Cmd: 0x11, Data: data, Origin: admin})
			if rs.Code == ipmb.ErrParameterRange {
				break
			}
			if rs.Code != ipmb.OK {
				t.Fatal(rs.Code)
			}
			fmt.Fprintf(&s, "%x", rs.Data[1:])
		}
	}
	return s.String()
}
