package node

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/midplane-project/midplane/internal/version"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/fru"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
)

// readFRU reads a whole FRU device in chunks, as clients do.
func (b *board) readFRU(id, chunk int) (out []byte) {
	b.t.Helper()
	info := unhex(b.t, b.guest(fmt.Sprintf("0a 10 %02x", id)))
	if len(info) != 4 || info[0] != 0 || info[3] != 0 {
		b.t.Fatalf("area info % x", info)
	}
	size := int(info[1]) | int(info[2])<<8
	for len(out) < size {
		n := min(chunk, size-len(out))
		r := unhex(b.t, b.guest(fmt.Sprintf("0a 11 %02x %02x %02x %02x", id, byte(len(out)), len(out)>>8, n)))
		if len(r) != 2+n || r[0] != 0 || int(r[1]) != n {
			b.t.Fatalf("%d bytes from %d on: % x", n, len(out), r)
		}
		out = append(out, r[2:]...)
	}
	return out
}

// readBus reads the same by Master Write-Read.
func (b *board) readBus(id, chunk, size int) (out []byte) {
	b.t.Helper()
	for len(out) < size {
		n := min(chunk, size-len(out))
		r := unhex(b.t, b.guest(fmt.Sprintf("06 52 %02x %02x %02x %02x", id<<1|1, 0xA0|len(out)>>8<<1, n, byte(len(out)))))
		if len(r) != 1+n || r[0] != 0 {
			b.t.Fatalf("%d bytes from %d on: % x", n, len(out), r)
		}
		out = append(out, r[1:]...)
	}
	return out
}

// inventory reads what FRU 0 says.
func (b *board) inventory() *fru.Inventory {
	b.t.Helper()
	inv, err := fru.Unmarshal(b.readFRU(0, 32))
	if err != nil {
		b.t.Fatal(err)
	}
	return inv
}

func TestOwnFRU(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	instance := fru.NewText(uuid.UUID(b.identity.DeviceGUID).String())
	want := &fru.Inventory{
		Board: &fru.Board{
			Language: fru.English, Manufacturer: fru.NewText("Midplane"), Product: fru.NewText("Midplane node"),
			Serial: instance, Part: fru.NewText("atca"),
		},
		Product: &fru.Product{
			Language: fru.English, Manufacturer: fru.NewText("Midplane"), Name: fru.NewText("Midplane node"),
			Part: fru.NewText("atca-kcs"), Version: fru.NewText(version.Get()), Serial: instance, Asset: fru.NewText("blade1"),
		},
	}
	if d := cmp.Diff(want, b.inventory()); d != "" {
		t.Errorf("without a VM:\n%s", d)
	}
	b.id.VM, b.id.Name = true, strings.Repeat("☃", 70)
	b.stop()
	b.start()
	want.Product.Manufacturer, want.Product.Name = fru.NewText("QEMU"), fru.NewText("QEMU VM")
	want.Product.Serial = fru.NewText("03020100-0504-0706-0809-0a0b0c0d0e0f")
	want.Product.Asset = fru.NewText(strings.Repeat("?", 63))
	if d := cmp.Diff(want, b.inventory()); d != "" {
		t.Errorf("with a VM and another name:\n%s", d)
	}
}

// Whatever a client reads by, and in what steps, it is the same content.
func TestFRUChunks(t *testing.T) {
	b := newBoard(t, ProfileServer)
	whole := b.readFRU(0, 224)
	if len(whole) != 2*mc.MaxFRU || bytes.Count(whole, []byte{0xFF}) < mc.MaxFRU+1000 { // blank behind the EEPROM
		t.Fatalf("%d bytes: % x", len(whole), whole)
	}
	for _, chunk := range []int{8, 16, 20, 23, 32} {
		if !bytes.Equal(b.readFRU(0, chunk), whole) || !bytes.Equal(b.readBus(0, chunk, mc.MaxFRU), whole[:mc.MaxFRU]) {
			t.Errorf("other content in steps of %d", chunk)
		}
	}
}

// What one command writes, the other reads, also after a restart; and it
// outlives what the node would say of itself.
func TestFRUIsKept(t *testing.T) {
	eachEnd(t, func(t *testing.T, b *board, restart func()) {
		want := b.inventory()
		expect := func(exchanges ...string) {
			t.Helper()
			for i := 0; i < len(exchanges); i += 2 {
				if got := b.guest(exchanges[i]); got != exchanges[i+1] {
					t.Errorf("%s: %s, want %s", exchanges[i], got, exchanges[i+1])
				}
			}
		}
		expect(
			"0a 12 00 00 04 01 02 03 04 05", "00 05",
			"06 52 01 a8 00 05 a6 a7", "00",
			"06 52 01 ac 00 ff b8 b9", "00",
		)
		b.id.Name = "renamed"
		for range 2 {
			expect(
				"06 52 01 a8 08 00", "00 01 02 03 04 05 a6 a7 ff",
				"0a 11 00 02 04 05", "00 05 03 04 05 a6 a7",
				"0a 11 00 fe 06 04", "00 04 ff b8 b9 ff",
				"06 52 01 ae 02 00", "00 b9 ff",
			)
			if d := cmp.Diff(want, b.inventory()); d != "" {
				t.Errorf("FRU 0 has changed:\n%s", d)
			}
			restart()
		}
	})
}

// Two FRU devices: each has its own content and bus, and the second a locator.
func TestTwoFRUs(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		info := []string{b.guest("0a 20")}
		content, err := (&fru.Inventory{Chassis: &fru.Chassis{Type: fru.ChassisOther, Serial: fru.NewText("m1")}}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		amc := sdr.Entity{ID: sdr.EntityAMC, Instance: 0x61}
		b.frus = []mc.FRU{{ID: 1, Content: content, Size: 256, Name: "mezzanine", Entity: amc}}
		for range 2 { // as made, then as written
			time.Sleep(time.Hour)
			b.stop()
			b.start()
			info = append(info, b.guest("0a 20"))
			_, body, err := sdr.Parse(unhex(t, b.guest("0a 23 00 00 ff ff 00 ff"))[3:])
			want := &sdr.FRULocator{Owner: self, FRU: 1, Logical: true, DeviceType: sdr.LogicalFRU, Entity: amc, Name: "mezzanine"}
			if d := cmp.Diff(sdr.Body(want), body); err != nil || d != "" {
				t.Errorf("locator: %v\n%s", err, d)
			}
			got := b.readFRU(1, 23)[:256]
			if !bytes.HasPrefix(got, content) || !bytes.Equal(got, b.readBus(1, 32, 256)) {
				t.Errorf("FRU 1: % x", got)
			}
			if b.inventory().Board.Product.String() != "Midplane node" {
				t.Error("FRU 0 is not its own")
			}
			if got := b.guest("06 52 03 a2 01 00"); got != "83" {
				t.Errorf("a second block of 256 bytes: %s", got)
			}
			content = got
			content[0x80] = 0x5A
			if got := b.guest("06 52 03 a0 00 80 5a"); got != "00" {
				t.Errorf("write: %s", got)
			}
		}
		if info[1] == info[0] || info[1][:8] == info[0][:8] || info[2] != info[1] { // FreeIPMI keeps a cache by it
			t.Errorf("repository info %q", info)
		}
	})
}

// A list may have a FRU 0 of its own, and only names that its locators hold.
func TestFRULists(t *testing.T) {
	id := Identity{Profile: ProfileServer, Interface: "bt"}
	list := []mc.FRU{{ID: 2}, {ID: 0, Content: []byte{1}}}
	got, err := id.frus(uuid.UUID{}, list)
	if err != nil || len(got) != 2 || !bytes.Equal(got[1].Content, []byte{1}) {
		t.Errorf("%v, %+v", err, got)
	}
	if l := id.fruLocators(got); len(l) != 1 || l[0].(*sdr.FRULocator).FRU != 2 {
		t.Errorf("locators %+v", l)
	}
	b := newBoard(t, ProfileServer)
	long := id.fruLocators([]mc.FRU{{ID: 1, Name: strings.Repeat("n", 17)}})
	if err := new(repository).open(long, store{b.db}); !errors.Is(err, sdr.ErrIDString) {
		t.Errorf("a name that no locator holds: %v", err)
	}
}

// Over the bus others read the inventory and leave it as it is; only the shelf
// writes, and speaks on the buses.
func TestFRUOverTheBus(t *testing.T) {
	for _, c := range []struct {
		name    string
		from    ipmb.Addr
		speaker ipmb.Speaker
		ask     ipmb.Frame
		want    ipmb.CompletionCode
	}{
		{"a guest reads", other, ipmb.SpeakerGuest, request(self, 0, 0x0A, 0x11, 0, 0, 0, 23), ipmb.OK},
		{"a guest does not write", other, ipmb.SpeakerGuest, request(self, 0, 0x0A, 0x12, 0, 0, 0, 1), ipmb.ErrPrivilege},
		{"nor on the bus", other, ipmb.SpeakerGuest, request(self, 0, 0x06, 0x52, 1, 0xA0, 1, 0), ipmb.ErrPrivilege},
		{"nor a neighbour, whoever it says speaks", other, ipmb.SpeakerController, request(self, 0, 0x0A, 0x12, 0, 0, 1, 1), ipmb.ErrPrivilege},
		{"an API", other, ipmb.SpeakerAPI, request(self, 0, 0x0A, 0x12, 0, 0, 1, 1), ipmb.ErrPrivilege},
		{"the shelf writes", 0x20, ipmb.SpeakerSession, request(self, 0, 0x0A, 0x12, 0, 0, 1, 1), ipmb.OK},
		{"a neighbour is not let on the bus", other, ipmb.SpeakerController, request(self, 0, 0x06, 0x52, 1, 0xA0, 1, 0), ipmb.ErrPrivilege},
		{"the shelf does", 0x20, ipmb.SpeakerController, request(self, 0, 0x06, 0x52, 1, 0xA0, 1, 0), ipmb.OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBoard(t, ProfileATCA)
			before := b.readFRU(0, 32)
			c.ask.From = c.from
			b.Deliver(t.Context(), ipmb.Message{
				ID: 7, Instance: "other", Frame: c.ask,
				Origin: ipmb.Origin{Speaker: c.speaker, Privilege: ipmb.PrivilegeAdmin},
			})
			r, ok := b.bus.wait(t, 1)[0].Frame.Response()
			if !ok || r.Code != c.want {
				t.Errorf("%v, want %v", r, c.want)
			}
			writes := c.ask.Cmd == 0x12 && c.want == ipmb.OK
			if same := bytes.Equal(before, b.readFRU(0, 32)); same == writes {
				t.Errorf("unchanged: %v", same)
			}
		})
	}
}
