package state

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// naive is the shelf as one would write it down without a thought for speed or
// bounds: what was claimed, what was logged, what the SEL shows.
type naive struct {
	holders map[uint32]naiveHolder
	logged  map[string]map[uint64]int // outbox → n → how often
	last    map[string]uint64
	sel     []uint16
}

type naiveHolder struct {
	instance    byte
	boot, epoch uint64
	held, lost  bool
	since       int64
}

func newNaive() *naive {
	return &naive{holders: map[uint32]naiveHolder{}, logged: map[string]map[uint64]int{}, last: map[string]uint64{}}
}

// claim says which epoch a claim must get, 0 when it must be refused.
func (n *naive) claim(now, lease int64, hw uint32, instance byte, boot uint64) uint64 {
	h := n.holders[hw]
	known := h.epoch > 0
	switch {
	case known && h.instance == instance && boot < h.boot:
		return 0
	case h.held && h.instance == instance && boot == h.boot:
		if h.lost {
			h.lost, h.since = false, now
		}
	case h.held && h.instance != instance && !(h.lost && now >= h.since+lease):
		return 0
	default:
		h = naiveHolder{instance: instance, boot: boot, epoch: h.epoch + 1, held: true, since: now}
	}
	n.holders[hw] = h
	return h.epoch
}

// append logs a run and gives where the outbox stands.
func (n *naive) append(outbox string, first, last uint64) uint64 {
	for i := first; i <= last; i++ {
		if i != n.last[outbox]+1 {
			continue
		}
		if n.logged[outbox] == nil {
			n.logged[outbox] = map[uint64]int{}
		}
		n.logged[outbox][i]++
		n.last[outbox] = i
	}
	return n.last[outbox]
}

// machine runs the state beside the naive one.
type machine struct {
	s     *State
	n     *naive
	now   int64
	added int
}

func (m *machine) tick(t *rapid.T) { m.now += rapid.Int64Range(0, 15*second).Draw(t, "dt") }

func (m *machine) Claim(t *rapid.T) {
	m.tick(t)
	hw, instance := rapid.Uint32Range(0x41, 0x42).Draw(t, "hw"), rapid.ByteRange('a', 'c').Draw(t, "instance")
	boot := rapid.Uint64Range(1, 4).Draw(t, "boot")
	a, err := m.s.Apply(1, at(m.now, claimBy(hw, instance, boot)))
	if want := m.n.claim(m.now, int64(m.s.lease), hw, instance, boot); err != nil || a.GetValue() != want {
		t.Fatalf("claim of %#x by %c boot %d: %v, %v; want epoch %d", hw, instance, boot, a, err, want)
	}
}

func (m *machine) Lose(t *rapid.T) {
	m.tick(t)
	hw := rapid.Uint32Range(0x41, 0x42).Draw(t, "hw")
	h := m.n.holders[hw]
	epoch := h.epoch - rapid.SampledFrom([]uint64{0, 0, 0, 1}).Draw(t, "behind")
	a, _ := m.s.Apply(1, at(m.now, &v1.SlotFact{Shelf: "lab", HardwareAddress: hw, Epoch: epoch, ContactLost: true}))
	ok := h.held && epoch == h.epoch
	if (a.GetCompletionCode() == 0) != ok {
		t.Fatalf("slot fact: %v, want ok %v", a, ok)
	}
	if ok && !h.lost {
		h.lost, h.since = true, m.now
		m.n.holders[hw] = h
	}
}

func (m *machine) Release(t *rapid.T) {
	hw := rapid.Uint32Range(0x41, 0x42).Draw(t, "hw")
	h := m.n.holders[hw]
	m.s.Apply(1, at(m.now, &v1.Release{Shelf: "lab", HardwareAddress: hw, Epoch: h.epoch}))
	h.held, h.lost = false, false
	m.n.holders[hw] = h
}

func (m *machine) Events(t *rapid.T) {
	hw := rapid.Uint32Range(0x41, 0x42).Draw(t, "hw")
	box := rapid.ByteRange('o', 'p').Draw(t, "outbox")
	first := rapid.Uint64Range(1, 30).Draw(t, "first")
	last := first + rapid.Uint64Range(0, 6).Draw(t, "more")
	h, key := m.n.holders[hw], string([]byte{byte(hw), box})
	a, _ := m.s.Apply(1, at(m.now, events(hw, box, h.epoch, first, last)))
	if !h.held {
		if a.GetCompletionCode() == 0 {
			t.Fatalf("events of a slot that nobody holds: %v", a)
		}
		return
	}
	before := m.n.last[key]
	if want := m.n.append(key, first, last); a.GetValue() != want {
		t.Fatalf("events %d to %d: %v, want last %d", first, last, a, want)
	}
	if (a.GetReason() == wantGap) != (first > before+1) {
		t.Fatalf("events %d to %d after %d: %v", first, last, before, a)
	}
	for range m.n.last[key] - before {
		m.show()
	}
}

// show notes in the model that one more record must have come.
func (m *machine) show() {
	m.added++
	m.n.sel = append(m.n.sel, uint16(m.added))
}

func (m *machine) AddSEL(t *rapid.T) {
	a, _ := m.s.Apply(1, at(m.now, addSEL(0x84, controller, oemRecord(rapid.Byte().Draw(t, "record")))))
	if a.GetCompletionCode() != 0 {
		t.Fatalf("add: %v", a)
	}
	m.show()
}

func (m *machine) DeleteSEL(t *rapid.T) {
	id := rapid.Uint32Range(1, uint32(m.added+2)).Draw(t, "id")
	a, _ := m.s.Apply(1, at(m.now, &v1.DeleteSEL{Shelf: "lab", Record: id}))
	i := slices.Index(m.n.sel, uint16(id))
	if (a.GetCompletionCode() == 0) != (i >= 0) {
		t.Fatalf("delete %d: %v, in the model at %d", id, a, i)
	}
	if i >= 0 {
		m.n.sel = slices.Delete(m.n.sel, i, i+1)
	}
}

func (m *machine) ClearSEL(*rapid.T) {
	m.s.Apply(1, at(m.now, &v1.ClearSEL{Shelf: "lab"}))
	m.n.sel = nil
	m.show()
}

// Check compares what can be read.
func (m *machine) Check(t *rapid.T) {
	v := &m.s.shelf("lab").sel
	got := make([]uint16, 0, v.rows.len())
	for _, e := range v.rows.items() {
		got = append(got, e.Record.ID())
	}
	if d := cmp.Diff(append([]uint16{}, m.n.sel...), got); d != "" {
		t.Fatalf("SEL (-model +state):\n%s", d)
	}
	times := map[string]map[uint64]int{}
	for _, e := range m.s.shelf("lab").log.after(0, 0) {
		if e.Outbox == "" {
			continue
		}
		key := string([]byte{e.Source.HW(), e.Outbox[0]})
		if times[key] == nil {
			times[key] = map[uint64]int{}
		}
		times[key][e.N]++
	}
	if d := cmp.Diff(m.n.logged, times); d != "" {
		t.Fatalf("events logged, by outbox and number (-model +state):\n%s", d)
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{s: lab(t, Config{}), n: newNaive(), now: second}
		rt.Repeat(map[string]func(*rapid.T){
			"claim": m.Claim, "lose": m.Lose, "release": m.Release, "events": m.Events,
			"add": m.AddSEL, "delete": m.DeleteSEL, "clear": m.ClearSEL, "": m.Check,
		})
	})
}
