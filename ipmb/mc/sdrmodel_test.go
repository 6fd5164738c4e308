package mc_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// sdrModel is a repository as a list, and a client that walks it.
type sdrModel struct {
	*repository
	own, added []string // records in hex
	next       uint16
}

// call gives the code of a request and the data of its answer.
func (m *sdrModel) call(t *rapid.T, cmd ipmb.Cmd, data ...byte) (ipmb.CompletionCode, []byte) {
	rs := m.ServeIPMI(t.Context(), &ipmb.Request{NetFn: ipmb.NetFnStorage, Cmd: cmd, Data: data, Origin: admin})
	return rs.Code, rs.Data
}

// must is call for a request that must succeed.
func (m *sdrModel) must(t *rapid.T, cmd ipmb.Cmd, data ...byte) []byte {
	code, out := m.call(t, cmd, data...)
	if code != ipmb.OK {
		t.Fatalf("%02x % x: %v", uint8(cmd), data, code)
	}
	return out
}

// walk reads the records as clients do.
func (m *sdrModel) walk(t *rapid.T) (all []string) {
	for id := []byte{0, 0}; ; {
		out := m.must(t, 0x23, 0, 0, id[0], id[1], 0, 0xFF)
		all = append(all, hex.EncodeToString(out[2:]))
		if id = out[:2]; id[0] == 0xFF && id[1] == 0xFF {
			return all
		}
	}
}

// seen is what a client keeps of Get SDR Repository Info and Reserve.
func (m *sdrModel) seen(t *rapid.T) (added, erased, reservation string) {
	i := m.must(t, 0x20)
	return string(i[5:9]), string(i[9:13]), string(m.must(t, 0x22))
}

// changed checks what a change must and must not change.
func (m *sdrModel) changed(t *rapid.T, adds, erases bool, do func()) {
	a, e, r := m.seen(t)
	do()
	a2, e2, r2 := m.seen(t)
	if (a != a2) != adds || (e != e2) != erases || (r != r2) != (adds || erases) {
		t.Fatalf("added %x → %x, erased %x → %x, reservation %x → %x", a, a2, e, e2, r, r2)
	}
}

// put notes a record that was added under the id in an answer.
func (m *sdrModel) put(t *rapid.T, record, answer []byte) {
	if got := binary.LittleEndian.Uint16(answer); got != m.next {
		t.Fatalf("id %04x, want %04x", got, m.next)
	}
	m.next++
	m.added = append(m.added, hex.EncodeToString(append(slices.Clone(answer), record[2:]...)))
}

func drawRecord(t *rapid.T) []byte {
	body := rapid.SliceOfN(rapid.Byte(), 3, 235).Draw(t, "body")
	return append([]byte{0x12, 0x34, 0x51, 0xC0, byte(len(body))}, body...)
}

func (m *sdrModel) add(t *rapid.T) {
	record := drawRecord(t)
	m.changed(t, true, false, func() { m.put(t, record, m.must(t, 0x24, record...)) })
}

// addParts adds a record in pieces of any length.
func (m *sdrModel) addParts(t *rapid.T) {
	record := drawRecord(t)
	m.changed(t, true, false, func() {
		reservation, id := m.must(t, 0x22), []byte{0, 0}
		for at := 0; at < len(record); {
			n, last := rapid.IntRange(1, len(record)-at).Draw(t, "piece"), byte(0)
			if at+n == len(record) {
				last = 1
			}
			id = m.must(t, 0x25, append([]byte{reservation[0], reservation[1], id[0], id[1], byte(at), last}, record[at:at+n]...)...)
			at += n
		}
		m.put(t, record, id)
	})
}

func (m *sdrModel) delete(t *rapid.T) {
	all := append(slices.Clone(m.own), m.added...)
	i := rapid.IntRange(0, len(all)-1).Draw(t, "i")
	id, err := hex.DecodeString(all[i][:4])
	if err != nil {
		t.Fatal(err)
	}
	r := m.must(t, 0x22)
	if code, _ := m.call(t, 0x26, r[0]+1, r[1], id[0], id[1]); code != ipmb.ErrReservation {
		t.Fatalf("deleted without a reservation: %v", code)
	}
	if i < len(m.own) {
		if code, _ := m.call(t, 0x26, r[0], r[1], id[0], id[1]); code != ipmb.ErrIllegal {
			t.Fatalf("deleted the controller's own: %v", code)
		}
		return
	}
	m.changed(t, false, true, func() { m.must(t, 0x26, r[0], r[1], id[0], id[1]) })
	i -= len(m.own)
	m.added = slices.Delete(m.added, i, i+1)
}

func (m *sdrModel) clear(t *rapid.T) {
	r := m.must(t, 0x22)
	m.changed(t, false, true, func() { m.must(t, 0x27, r[0], r[1], 'C', 'L', 'R', 0xAA) })
	m.added = nil
}

// ownChange gives the controller another set of records of its own.
func (m *sdrModel) ownChange(t *rapid.T) {
	n := rapid.IntRange(1, 5).Draw(t, "own")
	m.changed(t, true, true, func() {
		m.repository.own.list, m.own = nil, nil
		for i := range n {
			record := mc.SDRRecord{byte(i + 1), 0, 0x51, 0xC0, 3, 1, 2, 3}
			m.repository.own.list, m.own = append(m.repository.own.list, record), append(m.own, hex.EncodeToString(record))
		}
		m.repository.own.changed = m.repository.own.changed.Add(time.Nanosecond)
	})
}

func (m *sdrModel) setTime(t *rapid.T) {
	s := binary.LittleEndian.AppendUint32(nil, rapid.Uint32Max(0xFFFF0000).Draw(t, "time")) // not to where the seconds end
	m.changed(t, false, false, func() { m.must(t, 0x29, s...) })
}

// check compares the whole repository with the model.
func (m *sdrModel) check(t *rapid.T) {
	want := append(slices.Clone(m.own), m.added...)
	if got := m.walk(t); !slices.Equal(got, want) {
		t.Fatalf("records %q, want %q", got, want)
	}
	free, all := 4096, 4096
	for _, r := range m.added {
		free -= (len(r)/2 + 15) / 16
	}
	for _, r := range m.own {
		all += (len(r)/2 + 15) / 16
	}
	alloc := m.must(t, 0x21)
	if got, want := fmt.Sprintf("%x", alloc), fmt.Sprintf("%x", binary.LittleEndian.AppendUint16(
		binary.LittleEndian.AppendUint16([]byte{byte(all), byte(all >> 8), 16, 0}, uint16(free)), uint16(free)))+"0f"; got != want {
		t.Fatalf("allocation %s, want %s", got, want)
	}
	if i := m.must(t, 0x20); binary.LittleEndian.Uint16(i[1:]) != uint16(len(want)) || binary.LittleEndian.Uint16(i[3:]) != uint16(min(free*16, 0xFFFE)) {
		t.Fatalf("info % x", i)
	}
}

// The repository behaves as a list does, whatever is asked in whatever order,
// and a restart changes nothing of what clients see.
func TestSDRRepositoryModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &sdrModel{repository: newRepository(t), next: 0x4000}
		m.own = []string{hex.EncodeToString(m.repository.own.list[0])}
		rt.Repeat(map[string]func(*rapid.T){
			"add": m.add, "add in parts": m.addParts, "delete": m.delete, "clear": m.clear,
			"own records change": m.ownChange, "set time": m.setTime,
			"restart": func(t *rapid.T) { m.changed(t, false, false, func() { m.open(t) }) },
			"":        m.check,
		})
	})
}
