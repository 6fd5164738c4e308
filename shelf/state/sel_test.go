package state

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const (
	guest      = v1.Speaker_SPEAKER_GUEST
	controller = v1.Speaker_SPEAKER_CONTROLLER
)

func TestAddSEL(t *testing.T) {
	system := []byte{9, 9, 0x02, 1, 2, 3, 4, 0x20, 0, 4, 0x10, 0, 0x6F, 2, 0xFF, 0xFF}
	timed := []byte{9, 9, 0xC1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}
	plain := []byte{9, 9, 0xF0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}
	odd := []byte{9, 9, 0x03, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}
	tests := []struct {
		name string
		add  *v1.AddSEL
		want Record
		code ipmb.CompletionCode
	}{
		{"a guest's event names its controller", addSEL(0x82, guest, system), Record{1, 0, 0x02, 7, 0, 0, 0, 0x82, 2, 4, 0x10, 0, 0x6F, 2, 0xFF, 0xFF}, ipmb.OK},
		{"a controller's event stays", addSEL(0x82, controller, system), Record{1, 0, 0x02, 7, 0, 0, 0, 0x20, 0, 4, 0x10, 0, 0x6F, 2, 0xFF, 0xFF}, ipmb.OK},
		{"OEM with time", addSEL(0x82, guest, timed), Record{1, 0, 0xC1, 7, 0, 0, 0, 5, 6, 7, 8, 9, 10, 11, 12, 13}, ipmb.OK},
		{"OEM without time", addSEL(0x82, guest, plain), Record{1, 0, 0xF0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, ipmb.OK},
		{"unknown type", addSEL(0x82, guest, odd), Record{}, ipmb.ErrSELUnsupported},
		{"short", addSEL(0x82, guest, plain[:15]), Record{}, ipmb.ErrInvalidField},
		{"odd address", addSEL(0x83, guest, plain), Record{}, ipmb.ErrInvalidField},
		{"wide address", addSEL(0x182, guest, plain), Record{}, ipmb.ErrInvalidField},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := lab(t, Config{})
			a := apply(t, s, at(7*second, tt.add))
			if a.GetCompletionCode() != uint32(tt.code) {
				t.Fatalf("answer %v, want code %v", a, tt.code)
			}
			if tt.code != ipmb.OK {
				return
			}
			if got, _, _ := s.shelf("lab").sel.get(binary.LittleEndian.Uint16(a.GetData())); got != tt.want {
				t.Errorf("record % x\nwant   % x", got, tt.want)
			}
		})
	}
}

func TestUnknownSpeakersCountAsGuests(t *testing.T) {
	s := lab(t, Config{})
	for _, sp := range []v1.Speaker{v1.Speaker_SPEAKER_UNSPECIFIED, 99, -1} {
		apply(t, s, at(second, addSEL(0x82, sp, oemRecord(1))))
	}
	for _, e := range s.shelf("lab").log.after(0, 0) {
		if !e.guest() {
			t.Errorf("entry %d has speaker %v", e.ID, e.Speaker)
		}
	}
}

func TestSELClearAndDelete(t *testing.T) {
	s := lab(t, Config{})
	for n := range 4 {
		apply(t, s, at(second, addSEL(0x82, controller, oemRecord(byte(n)))))
	}
	del := func(id uint32) *v1.Answer {
		return apply(t, s, at(8*second, &v1.DeleteSEL{Shelf: "lab", Record: id}))
	}
	diffAnswer(t, "delete 2", del(2), &v1.Answer{Data: []byte{2, 0}, Value: 2})
	diffAnswer(t, "delete 2 again", del(2), &v1.Answer{CompletionCode: uint32(ipmb.ErrNotPresent)})
	diffAnswer(t, "delete the first", del(0), &v1.Answer{Data: []byte{1, 0}, Value: 1})
	diffAnswer(t, "delete the last", del(0xFFFF), &v1.Answer{Data: []byte{4, 0}, Value: 4})
	diffAnswer(t, "an id that does not fit", del(0x10003), &v1.Answer{CompletionCode: uint32(ipmb.ErrNotPresent)})
	if d := cmp.Diff([]uint16{3}, recordIDs(t, s)); d != "" {
		t.Errorf("left (-want +got):\n%s", d)
	}
	diffAnswer(t, "clear", apply(t, s, at(9*second, &v1.ClearSEL{Shelf: "lab"})), &v1.Answer{Data: []byte{1}, Value: 5})
	v := &s.shelf("lab").sel
	cleared := Record{5, 0, 0x02, 9, 0, 0, 0, 0x20, 0, 0x04, 0x10, 0x00, 0x6F, 0x02, 0xFF, 0xFF}
	if r, next, ok := v.get(SELFirst); !ok || r != cleared || next != SELLast {
		t.Errorf("after clear: % x, next %#x", r, next)
	}
	if v.erased != 4 || v.lastErase != 9 {
		t.Errorf("erased %d times, last at %d", v.erased, v.lastErase)
	}
	if n := s.shelf("lab").log.shelf.len(); n != 5 {
		t.Errorf("%d log entries, want 5: clearing the SEL leaves the log", n)
	}
}

// Of two who erase under one reservation, the second is refused.
func TestReservationsEndWithAnErasure(t *testing.T) {
	s := lab(t, Config{})
	refused := &v1.Answer{CompletionCode: uint32(ipmb.ErrReservation)}
	apply(t, s, at(second, addSEL(0x82, controller, oemRecord(1))))
	clear := func(r uint32) *v1.Answer {
		return apply(t, s, at(second, &v1.ClearSEL{Shelf: "lab", Reservation: r}))
	}
	del := func(r uint32) *v1.Answer {
		return apply(t, s, at(second, &v1.DeleteSEL{Shelf: "lab", Record: 0, Reservation: r}))
	}
	diffAnswer(t, "clear", clear(1), &v1.Answer{Data: []byte{1}, Value: 2})
	diffAnswer(t, "clear again", clear(1), refused)
	diffAnswer(t, "delete", del(1), refused)
	diffAnswer(t, "delete under the new one", del(2), &v1.Answer{Data: []byte{2, 0}, Value: 2})
	diffAnswer(t, "clear without one", clear(0), &v1.Answer{Data: []byte{1}, Value: 3})
}

func TestSELTime(t *testing.T) {
	s := lab(t, Config{})
	for _, bad := range []int64{1 << 33, -1 << 33} {
		diffAnswer(t, "offset", apply(t, s, at(second, &v1.SetSELTime{Shelf: "lab", OffsetSeconds: bad})), &v1.Answer{CompletionCode: fieldRefusal})
	}
	for _, tt := range []struct {
		offset int64
		want   uint32
	}{{100, 110}, {-100, 0}, {1<<32 - 1, 0xFFFFFFFE}} {
		apply(t, s, at(second, &v1.SetSELTime{Shelf: "lab", OffsetSeconds: tt.offset}))
		apply(t, s, at(10*second, &v1.ClearSEL{Shelf: "lab"}))
		r, _, _ := s.shelf("lab").sel.get(SELLast)
		if got := binary.LittleEndian.Uint32(r[recordTime:]); got != tt.want {
			t.Errorf("offset %d: time %d, want %d", tt.offset, got, tt.want)
		}
	}
}

// A full SEL drops its oldest record and says so; ids wrap past those in use.
func TestSELWraps(t *testing.T) {
	const limit = 100
	s := lab(t, Config{SELLimit: limit})
	v := &s.shelf("lab").sel
	for n := range limit {
		apply(t, s, at(second, addSEL(0x82, controller, oemRecord(byte(n)))))
	}
	if v.overflow {
		t.Error("overflow before anything was dropped")
	}
	for n := range 0xFFFE {
		apply(t, s, at(second, addSEL(0x82, controller, oemRecord(byte(n)))))
	}
	ids := recordIDs(t, s)
	if !v.overflow || len(ids) != limit || ids[0] != 1 || ids[limit-1] != limit {
		t.Errorf("overflow %v, %d records from %d to %d; want ids 1 to %d once more", v.overflow, len(ids), ids[0], ids[len(ids)-1], limit)
	}
	if _, _, ok := v.get(limit + 1); ok {
		t.Error("a dropped record is still there")
	}
}

// A guest's flood pushes out no more of others' records than its share holds,
// and nothing of the others' part of the log.
func TestGuestShares(t *testing.T) {
	s := lab(t, Config{SELLimit: 80, LogLimit: 40})
	for n := range 40 {
		apply(t, s, at(second, addSEL(0x84, controller, oemRecord(byte(n)))))
	}
	for n := range 500 {
		apply(t, s, at(second, addSEL(0x82, guest, oemRecord(byte(n)))))
		apply(t, s, at(second, addSEL(0x84, guest, oemRecord(byte(n)))))
	}
	sh := s.shelf("lab")
	if got := sh.log.shelf.len(); got != 40 {
		t.Errorf("%d entries of the controller left, want 40", got)
	}
	for _, hw := range []uint8{0x41, 0x42} {
		if logged, shown := sh.log.guests[hw].len(), sh.sel.guests[hw].len(); logged != 10 || shown != 10 {
			t.Errorf("guest of %#x has %d log entries and %d records, want 10 and 10", hw, logged, shown)
		}
	}
	if got := len(recordIDs(t, s)); got != 60 {
		t.Errorf("%d records, want 40 of the controller and 20 of guests", got)
	}
	if got := sh.log.after(sh.log.next-5, 3); len(got) != 3 || got[0].ID != sh.log.next-4 || got[2].ID != sh.log.next-2 {
		t.Errorf("reading on across the shares gives %v", got)
	}
}

func TestLogLimitTakesTheSELAlong(t *testing.T) {
	s := lab(t, Config{LogLimit: 3})
	for n := range 5 {
		apply(t, s, at(second, addSEL(0x82, controller, oemRecord(byte(n)))))
	}
	if d := cmp.Diff([]uint16{3, 4, 5}, recordIDs(t, s)); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
}
