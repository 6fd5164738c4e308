package node

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// selModel is a log as a list.
type selModel struct {
	limit    int
	refuses  bool
	rows     []mc.SELEntry // without times
	nextID   uint16
	overflow bool
}

// put adds a record and, where it fills the log, the event that says so. It
// reports whether the log takes it.
func (m *selModel) put(e mc.SELEntry) bool {
	if m.refuses && len(m.rows) >= m.limit {
		m.overflow = true
		return false
	}
	m.push(e)
	switch len(m.rows) {
	case 29: // 90 % of 32
		m.push(mc.SELEntry{2: 2, 7: 0x82, 9: 4, 10: 0x10, 11: selSensor, 12: 0x6F, 13: 0x35, 14: 0xFF, 15: 90})
	case 31:
		m.push(mc.SELEntry{2: 2, 7: 0x82, 9: 4, 10: 0x10, 11: selSensor, 12: 0x6F, 13: 0x34, 14: 0xFF, 15: 100})
	}
	return true
}

func (m *selModel) push(e mc.SELEntry) {
	e[0], e[1] = byte(m.nextID), byte(m.nextID>>8)
	m.nextID++
	m.rows = append(m.rows, e)
	if len(m.rows) > m.limit {
		m.rows, m.overflow = m.rows[1:], true
	}
}

// timeless takes the time out of records that the log stamped.
func timeless(rows []mc.SELEntry) []mc.SELEntry {
	for i := range rows {
		if rows[i].Type() < mc.SELTypeOEMPlain {
			clear(rows[i][3:7])
		}
	}
	return rows
}

// The log behaves as a list that forgets its oldest records, or takes no more
// of them, and whatever it says of itself holds still over restarts.
func TestSELModel(t *testing.T) {
	t.Parallel() // it waits for the disk
	for name, refuses := range map[string]bool{SELOldest: false, SELRefuse: true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkSELModel(t, refuses)
		})
	}
}

func checkSELModel(t *testing.T, refuses bool) {
	s := newSEL(t)
	n := 0
	restart := func(t fataler) {
		s.reopen(t)
		s.limit, s.self, s.refuses = 32, self, refuses
	}
	rapid.Check(t, func(t *rapid.T) {
		restart(t)
		if err := s.SELClear(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		model := &selModel{limit: s.limit, refuses: refuses, nextID: s.meta.nextID}
		look := func() mc.SELInfo {
			i, err := s.SELInfo(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return i
		}
		add := func() {
			n++
			before := look()
			_, err := s.SELAdd(t.Context(), nil, selRecord(n))
			taken := model.put(selRecord(n))
			if taken && err != nil || !taken && ipmb.CodeOf(err) != ipmb.ErrOutOfSpace {
				t.Fatalf("added, taken %v: %v", taken, err)
			}
			if i := look(); i.Reservation != before.Reservation || i.LastAdd.Equal(before.LastAdd) == taken || !i.LastErase.Equal(before.LastErase) {
				t.Fatalf("adding made of %+v %+v", before, i)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(*rapid.T) { add() },
			"fill": func(t *rapid.T) {
				for range rapid.IntRange(1, 40).Draw(t, "records") {
					add()
				}
			},
			"delete": func(t *rapid.T) { model.delete(t, s) },
			"clear": func(t *rapid.T) {
				if err := s.SELClear(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
				model.rows, model.overflow = nil, false
			},
			"set time": func(t *rapid.T) {
				at := time.Unix(int64(rapid.Uint32Max(0xFFFFFFFE).Draw(t, "time")), 0)
				if err := s.SELSetTime(t.Context(), nil, at); err != nil {
					t.Fatal(err)
				}
			},
			"restart": func(t *rapid.T) {
				before, clock := look(), s.SELTime(t.Context())
				restart(t)
				i := look()
				if i.Reservation != before.Reservation || !i.LastAdd.Equal(before.LastAdd) || !i.LastErase.Equal(before.LastErase) {
					t.Fatalf("a restart made of %+v %+v", before, i)
				}
				if d := s.SELTime(t.Context()).Sub(clock); d < 0 || d > time.Minute {
					t.Fatalf("a restart moved the clock by %v", d)
				}
			},
			"": func(t *rapid.T) {
				if got := timeless(s.all(t)); !slices.Equal(got, model.rows) {
					t.Fatalf("log %x, want %x", got, model.rows)
				}
				i := look()
				if int(i.Entries) != len(model.rows) || int(i.Entries+i.Free) != s.limit || i.Reservation == 0 || i.Overflow != model.overflow {
					t.Fatalf("%+v", i)
				}
			},
		})
	})
}

// delete deletes a record of the log, by its id or as the first or last.
func (m *selModel) delete(t *rapid.T, s *selUnderTest) {
	if len(m.rows) == 0 {
		if _, err := s.SELDelete(t.Context(), nil, 0); ipmb.CodeOf(err) != ipmb.ErrNotPresent {
			t.Fatalf("deleted of an empty log: %v", err)
		}
		return
	}
	i := rapid.IntRange(0, len(m.rows)-1).Draw(t, "i")
	id := rapid.SampledFrom([]uint16{m.rows[i].ID(), 0, 0xFFFF}).Draw(t, "id")
	switch id {
	case 0:
		i = 0
	case 0xFFFF:
		i = len(m.rows) - 1
	}
	before, _ := s.SELInfo(t.Context())
	got, err := s.SELDelete(t.Context(), nil, id)
	after, _ := s.SELInfo(t.Context())
	if err != nil || got != m.rows[i].ID() || after.Reservation == before.Reservation || after.LastErase.Equal(before.LastErase) {
		t.Fatalf("deleted %04x, want %04x: %v, %+v", got, m.rows[i].ID(), err, after)
	}
	m.rows = slices.Delete(m.rows, i, i+1)
}

// Of those who write at once each gets an id of its own, nothing is lost, and
// what the log says of itself is said once.
func TestSELWritersAtOnce(t *testing.T) {
	const writers, each = 16, 20
	s := newSEL(t)
	s.limit = writers*each + 2 // the records and both events
	var mu sync.Mutex
	var levels []byte
	ids := make(map[uint16]bool)
	s.announce = func(e mc.SELEntry) {
		mu.Lock()
		defer mu.Unlock()
		levels = append(levels, e[15])
	}
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				id, err := s.SELAdd(context.Background(), nil, selRecord(w*each+i))
				mu.Lock()
				if err != nil || ids[id] {
					t.Errorf("id %04x: %v", id, err)
				}
				ids[id] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if slices.Sort(levels); !slices.Equal(levels, []byte{90, 100}) {
		t.Errorf("levels %d", levels)
	}
	s.reopen(t)
	found := 0
	for _, e := range s.all(t) {
		if ids[e.ID()] {
			found++
		}
	}
	if found != writers*each {
		t.Errorf("%d records of %d", found, writers*each)
	}
}
