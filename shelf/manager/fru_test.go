package manager

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/fru"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// image reads FRU 0 as a client does.
func (r *replica) image(t testing.TB) []byte {
	t.Helper()
	var out []byte
	for len(out) < mc.MaxFRU {
		at := binary.LittleEndian.AppendUint16([]byte{0}, uint16(len(out)))
		code, data := r.ask(t, r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnStorage, cmdReadFRU, append(at, 16)...))
		if code != ipmb.OK {
			t.Fatalf("read at %d: %v", len(out), code)
		}
		out = append(out, data[1:]...)
	}
	return out
}

func TestShelfFRU(t *testing.T) {
	r := newReplica(newFakeCluster(t), 1)
	r.Manager = New(func() Config { c := r.cfg; c.Cluster = "c1"; return c }())
	defer r.lead(t)()
	inv, err := fru.Unmarshal(r.image(t))
	if err != nil {
		t.Fatal(err)
	}
	guid := "a5a5a5a5-a5a5-a5a5-a5a5-a5a5a5a5a5a5"
	got := []string{inv.Board.Product.String(), inv.Board.Serial.String(), inv.Product.Asset.String(), inv.Product.Custom[0].String()}
	if d := cmp.Diff([]string{productShelf, guid, "lab", "cluster c1"}, got); d != "" {
		t.Errorf("inventory (-want +got):\n%s", d)
	}
}

// What is written is there at the next leader too, and a write that comes again
// gets its first answer and overwrites nothing.
func TestShelfFRUIsReplicated(t *testing.T) {
	c := newFakeCluster(t)
	first, second := newReplica(c, 1).trusting(), newReplica(c, 2).trusting()
	stop := first.lead(t)
	want := first.image(t)
	write := func(r *replica, m ipmb.Message, n byte) {
		t.Helper()
		if code, data := r.ask(t, m); code != ipmb.OK || !bytes.Equal(data, []byte{n}) {
			t.Errorf("%s: %v % x, want %d written", m.Frame, code, data, n)
		}
	}
	one := first.message(blade1, ipmb.SpeakerController, ipmb.NetFnStorage, cmdWriteFRU, 0, 0xF0, 0x07, 1, 2, 3)
	write(first, one, 3)
	write(first, first.message(blade1, ipmb.SpeakerController, ipmb.NetFnStorage, cmdWriteFRU, 0, 0xF1, 0x07, 9), 1)
	stop()
	defer second.lead(t)()
	write(second, one, 3)
	copy(want[0x7F0:], []byte{1, 9, 3})
	if d := cmp.Diff(want, second.image(t)); d != "" {
		t.Errorf("FRU 0 (-want +got):\n%s", d)
	}
}

// A write whose fate raft does not tell is not answered. It may have been done,
// and then it is what is read.
func TestShelfFRUAfterAnUnknownFate(t *testing.T) {
	r := leading(t).trusting()
	m := r.message(blade1, ipmb.SpeakerController, ipmb.NetFnStorage, cmdWriteFRU, 0, 0, 0, 0x55)
	r.raft.set(func(f *fakeRaft) { f.ambiguous = true })
	if a, ok := r.Serve(context.Background(), m); ok {
		t.Errorf("answered %s", a.Frame)
	}
	r.raft.set(func(f *fakeRaft) { f.ambiguous = false })
	if got := r.image(t)[0]; got != 0x55 {
		t.Errorf("read %#x", got)
	}
	if code, data := r.ask(t, m); code != ipmb.OK || !bytes.Equal(data, []byte{1}) {
		t.Errorf("again: %v % x", code, data)
	}
}

// The records of a part, as the parts of every controller use them.
func TestReplicatedRecords(t *testing.T) {
	r := leading(t)
	k := &replicated{m: r.Manager}
	if err := k.Put("a", nil); ipmb.CodeOf(err) != ipmb.ErrNoResponse {
		t.Errorf("put in nobody's name: %v", err)
	}
	k.by, k.ctx = &ipmb.Request{}, t.Context()
	for name, value := range map[string][]byte{"a/1": {1}, "a/2": {}, "b": {3}} {
		if err := k.Put(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Delete("b"); err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]byte)
	if err := k.Each("", func(name string, value []byte) bool {
		if name[0] == 'a' || name[0] == 'b' {
			got[name] = value
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string][]byte{"a/1": {1}, "a/2": {}}, got); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
	one, err := k.Get("a/1")
	if err != nil || !bytes.Equal(one, []byte{1}) {
		t.Errorf("a/1: % x, %v", one, err)
	}
}
