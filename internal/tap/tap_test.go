package tap

import (
	"testing"

	midplanev1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

func TestSlowViewerHoldsNobodyUp(t *testing.T) {
	var h Hub
	if h.Watched() {
		t.Fatal("watched by nobody")
	}
	slow, quick := h.Watch(), h.Watch()
	got := 0
	for i := range Depth + 10 {
		h.Put(&midplanev1.TraceEntry{Time: int64(i)})
		if e := <-quick.Entries(); e.Time != int64(i) {
			t.Fatalf("entry %d came as %d", i, e.Time)
		}
		got++
	}
	if d := slow.Dropped(); d != 10 {
		t.Errorf("slow viewer missed %d, want 10", d)
	}
	if d := slow.Dropped(); d != 0 {
		t.Errorf("told twice: %d", d)
	}
	slow.Close()
	slow.Close()
	quick.Close()
	if h.Watched() {
		t.Error("still watched after Close")
	}
}
