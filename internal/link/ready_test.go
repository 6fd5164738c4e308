package link

import (
	"testing"
	"testing/synctest"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// ready is a stream that takes a message at once if its channel has room.
type ready struct {
	wire[v1.AttachRequest, v1.AttachResponse]
	passed *int
}

func (r ready) TrySend(m *v1.AttachRequest) bool {
	select {
	case r.out <- m:
		*r.passed++
		return true
	default:
		return false
	}
}

func TestReadyStreamIsWrittenInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnds(t)
		const room, all = 3, 10
		out, passed := make(chan *v1.AttachRequest, room), 0
		l := New(ready{wire[v1.AttachRequest, v1.AttachResponse]{e.ctx, out, nil}, &passed}, Node, e.wg.Go)
		post := func(id uint64) {
			t.Helper()
			if err := l.Post(envelope(id)); err != nil {
				t.Fatal(err)
			}
		}
		post(0)
		if len(out) != 0 {
			t.Error("a frame left before the link ran")
		}
		e.wg.Go(func() { _ = l.Run(e.ctx, ignoreResponse) })
		synctest.Wait()
		if len(out) != 1 || passed != 0 {
			t.Errorf("%d messages in the stream, %d of them by their sender", len(out), passed)
		}
		for id := range uint64(all - 1) {
			post(1 + id)
		}
		if passed != room-1 {
			t.Errorf("%d messages went past the writer, want %d", passed, room-1)
		}
		for next := uint64(0); next < all; {
			for _, env := range (<-out).GetBatch().GetEnvelopes() {
				if env.GetId() != next {
					t.Fatalf("frame %d instead of %d", env.GetId(), next)
				}
				next++
			}
		}
	})
}
