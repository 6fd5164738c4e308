package link

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Rhythm of the heartbeats. A peer that was silent for Silence is taken for
// frozen: two heartbeats may be late, and it is noticed within 1.5 s.
const (
	Beat    = 500 * time.Millisecond
	Silence = 1400 * time.Millisecond
	// HelloTimeout is how long either end waits for the other's first message.
	HelloTimeout = 2 * time.Second
)

// Errors of a link.
var (
	ErrFull   = errors.New("link: queue is full")
	ErrClosed = errors.New("link: closed")
	ErrSilent = errors.New("link: nothing heard from the other end")
	ErrSlow   = errors.New("link: the other end does not keep up")
)

// Link is one end of a stream. Its methods may be called concurrently and
// never wait for the network.
type Link[Out, In any] struct {
	stream  Stream[Out, In]
	dialect Dialect[Out, In]
	spawn   func(func())
	queue   *queue[Out]
	born    time.Time
	heard   atomic.Int64 // when something came last, since born
	rtt     atomic.Int64

	once sync.Once
	done chan struct{}
	err  error

	mu    sync.Mutex
	beats uint64                   // heartbeats sent
	await map[uint64]chan struct{} // who waits for the answer to one
}

// New makes a link on a stream. Its goroutines are started with spawn; they
// end when the link is closed and the stream's context is over.
func New[Out, In any](stream Stream[Out, In], d Dialect[Out, In], spawn func(func())) *Link[Out, In] {
	l := &Link[Out, In]{
		stream: stream, dialect: d, spawn: spawn,
		born: time.Now(), done: make(chan struct{}), await: make(map[uint64]chan struct{}),
	}
	l.queue = newQueue(l.pass)
	return l
}

// Post queues a frame. ErrFull and ErrClosed say that it was dropped.
func (l *Link[Out, In]) Post(e *v1.Envelope) error {
	return l.queue.put(item[Out]{frame: e}, maxFrames)
}

// Send queues a message that must not get lost: when there is no room, the
// link ends.
func (l *Link[Out, In]) Send(m *Out) {
	if l.queue.put(item[Out]{msg: m}, maxItems) == ErrFull {
		l.Close(ErrSlow)
	}
}

// Finish queues the last message; the link ends after it with ErrClosed.
func (l *Link[Out, In]) Finish(m *Out) {
	if l.queue.put(item[Out]{msg: m, last: true}, maxItems) == ErrFull {
		l.Close(ErrSlow)
	}
}

// Run reads, writes and watches until the link ends, and says why it did. The
// caller must then end the stream, by its context or by returning from the
// handler: that unblocks the link's goroutines. handle is called for each
// message but heartbeats, in order, by one goroutine; it must not block.
func (l *Link[Out, In]) Run(ctx context.Context, handle func(*In) error) error {
	l.touch()
	l.spawn(func() { l.Close(l.read(handle)) })
	l.spawn(func() { l.Close(l.write()) })
	l.Close(l.watch(ctx))
	return l.err
}

// Close ends the link; the first reason counts.
func (l *Link[Out, In]) Close(reason error) {
	l.once.Do(func() {
		l.err = reason
		l.queue.close()
		close(l.done)
	})
}

// Done is closed when the link has ended.
func (l *Link[Out, In]) Done() <-chan struct{} { return l.done }

// RTT is the last heartbeat's time there and back, 0 before the first.
func (l *Link[Out, In]) RTT() time.Duration { return time.Duration(l.rtt.Load()) }

func (l *Link[Out, In]) read(handle func(*In) error) error {
	for {
		m, err := l.stream.Recv()
		if err != nil {
			return err
		}
		l.touch()
		if h := l.dialect.HeartbeatOf(m); h != nil {
			l.beaten(h)
		} else if err := handle(m); err != nil {
			return err
		}
	}
}

func (l *Link[Out, In]) touch() { l.heard.Store(int64(time.Since(l.born))) }

// watch sends heartbeats and listens for silence.
func (l *Link[Out, In]) watch(ctx context.Context) error {
	beat := time.NewTicker(Beat)
	defer beat.Stop()
	silence := time.NewTimer(Silence)
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.done:
			return ErrClosed
		case <-beat.C:
			l.beat(nil)
		case <-silence.C:
			left := Silence - (time.Since(l.born) - time.Duration(l.heard.Load()))
			if left <= 0 {
				return ErrSilent
			}
			silence.Reset(left)
		}
	}
}
