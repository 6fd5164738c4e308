package link

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// wire is one end of a stream over channels.
type wire[Out, In any] struct {
	ctx context.Context
	out chan *Out
	in  chan *In
}

func (w wire[Out, In]) Send(m *Out) error {
	select {
	case w.out <- m:
		return nil
	case <-w.ctx.Done():
		return io.EOF
	}
}

func (w wire[Out, In]) Recv() (*In, error) {
	select {
	case m := <-w.in:
		return m, nil
	case <-w.ctx.Done():
		return nil, io.EOF
	}
}

// ends are the two ends of a stream, neither of which is running.
type ends struct {
	cancel  context.CancelFunc
	ctx     context.Context
	wg      sync.WaitGroup
	node    *Link[v1.AttachRequest, v1.AttachResponse]
	replica *Link[v1.AttachResponse, v1.AttachRequest]
}

func newEnds(t *testing.T) *ends {
	e := &ends{}
	e.ctx, e.cancel = context.WithCancel(t.Context())
	up, down := make(chan *v1.AttachRequest), make(chan *v1.AttachResponse)
	e.node = New(wire[v1.AttachRequest, v1.AttachResponse]{e.ctx, up, down}, Node, e.wg.Go)
	e.replica = New(wire[v1.AttachResponse, v1.AttachRequest]{e.ctx, down, up}, Replica, e.wg.Go)
	t.Cleanup(func() { e.cancel(); e.wg.Wait() })
	return e
}

func ignoreResponse(*v1.AttachResponse) error { return nil }
func ignoreRequest(*v1.AttachRequest) error   { return nil }

func envelope(id uint64) *v1.Envelope { return &v1.Envelope{Id: id} }

func TestFramesShareBatchesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnds(t)
		for id := range uint64(maxBatch + 10) {
			if err := e.node.Post(envelope(id)); err != nil {
				t.Fatal(err)
			}
		}
		e.node.Send(&v1.AttachRequest{Kind: &v1.AttachRequest_Detach{}})
		var next uint64
		var batches []int
		detached := false
		e.wg.Go(func() { _ = e.node.Run(e.ctx, ignoreResponse) })
		e.wg.Go(func() {
			_ = e.replica.Run(e.ctx, func(m *v1.AttachRequest) error {
				if b := m.GetBatch(); b != nil {
					batches = append(batches, len(b.GetEnvelopes()))
					for _, env := range b.GetEnvelopes() {
						if env.GetId() != next || detached {
							t.Errorf("frame %d instead of %d, after the message behind it: %v", env.GetId(), next, detached)
						}
						next++
					}
				} else {
					detached = true
				}
				return nil
			})
		})
		synctest.Wait()
		if len(batches) != 2 || batches[0] != maxBatch || batches[1] != 10 || !detached {
			t.Errorf("batches %v, detached %v", batches, detached)
		}
	})
}

func TestFullQueueRefusesFramesAndKeepsMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnds(t)
		for id := range uint64(maxFrames) {
			if err := e.node.Post(envelope(id)); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.node.Post(envelope(0)); !errors.Is(err, ErrFull) {
			t.Errorf("frame beyond the bound: %v", err)
		}
		for range maxItems - maxFrames {
			e.node.Send(&v1.AttachRequest{})
		}
		select {
		case <-e.node.Done():
			t.Error("the link ended while there was room for messages")
		default:
		}
		e.node.Send(&v1.AttachRequest{})
		if err := e.node.Run(e.ctx, ignoreResponse); !errors.Is(err, ErrSlow) {
			t.Errorf("link with a message too many: %v", err)
		}
		e.cancel()
	})
}

// The other end's stream is open, but nothing comes from it any more.
func TestSilenceIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnds(t)
		ctx, freeze := context.WithCancel(e.ctx)
		e.wg.Go(func() { _ = e.replica.Run(ctx, ignoreRequest) })
		done := make(chan error, 1)
		e.wg.Go(func() { done <- e.node.Run(e.ctx, ignoreResponse) })
		time.Sleep(10 * time.Second)
		select {
		case err := <-done:
			t.Fatalf("link ended while both ends were well: %v", err)
		default:
		}
		freeze()
		frozen := time.Now()
		if err := <-done; !errors.Is(err, ErrSilent) || time.Since(frozen) > 1500*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(frozen))
		}
	})
}

func TestConfirmWaitsForTheOtherEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnds(t)
		read := 0
		e.wg.Go(func() { _ = e.node.Run(e.ctx, ignoreResponse) })
		e.node.Send(&v1.AttachRequest{Kind: &v1.AttachRequest_Detach{}})
		short, cancel := context.WithTimeout(e.ctx, time.Millisecond)
		defer cancel()
		if err := e.node.Confirm(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody reads: %v", err)
		}
		e.wg.Go(func() { _ = e.replica.Run(e.ctx, func(*v1.AttachRequest) error { read++; return nil }) })
		if err := e.node.Confirm(e.ctx); err != nil || read != 1 {
			t.Errorf("confirmed with %v after %d messages", err, read)
		}
		e.node.Close(ErrClosed)
		if err := e.node.Confirm(e.ctx); !errors.Is(err, ErrClosed) {
			t.Errorf("closed link: %v", err)
		}
	})
}

func TestFinishIsTheLastMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnds(t)
		var got []*v1.AttachRequest
		e.wg.Go(func() {
			_ = e.replica.Run(e.ctx, func(m *v1.AttachRequest) error { got = append(got, m); return nil })
		})
		e.node.Finish(&v1.AttachRequest{Kind: &v1.AttachRequest_Detach{}})
		if err := e.node.Post(envelope(1)); !errors.Is(err, ErrClosed) {
			t.Errorf("frame after the end: %v", err)
		}
		if err := e.node.Run(e.ctx, ignoreResponse); !errors.Is(err, ErrClosed) {
			t.Errorf("finished link: %v", err)
		}
		synctest.Wait()
		if len(got) != 1 {
			t.Errorf("%d messages arrived", len(got))
		}
	})
}

func TestBackoff(t *testing.T) {
	var b Backoff
	base := backoffFirst
	for range 20 {
		got := b.Next()
		if lo, hi := base*8/10, base*12/10; got < lo || got > hi {
			t.Errorf("%v: want %v to %v", got, lo, hi)
		}
		base = min(base*3/2, backoffMost)
	}
	b.Reset()
	if got := b.Next(); got > backoffFirst*12/10 {
		t.Errorf("after a success: %v", got)
	}
}
