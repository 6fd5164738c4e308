package inmem

import (
	"context"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// depth is how many messages one direction holds before the sender waits.
const depth = 64

// pipe is one direction of a stream.
type pipe[T any] struct {
	n        *Network
	from, to string
	ch       chan *T
}

// send hands over m; a and b end the stream.
func (p pipe[T]) send(m *T, a, b <-chan struct{}) error {
	d := p.n.disturbance(p.from, p.to, any(m).(proto.Message))
	if d == (Disturbance{}) {
		return p.push(m, a, b)
	}
	for range 1 + d.Copies {
		if d.Delay > 0 {
			time.AfterFunc(d.Delay, func() { _ = p.push(m, a, b) }) // the stream ended meanwhile
		} else if err := p.push(m, a, b); err != nil {
			return err
		}
	}
	return nil
}

func (p pipe[T]) push(m *T, a, b <-chan struct{}) error {
	select {
	case p.ch <- m:
		return nil
	case <-a:
	case <-b:
	}
	return io.EOF
}

// trySend is send where it need not wait, and nothing may happen to m.
func (p pipe[T]) trySend(m *T) bool {
	if p.n.faults.Load().disturb != nil {
		return false
	}
	select {
	case p.ch <- m:
		return true
	default:
		return false
	}
}

func (p pipe[T]) recv(ctx context.Context) (*T, error) {
	select {
	case m := <-p.ch:
		return m, p.n.Pass(ctx, p.from, p.to)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// open starts a handler and gives the caller's end of its stream.
func open[Req, Res any](ctx context.Context, c *conn, serve func(v1.BackplaneServer, *serverStream[Req, Res]) error) (*clientStream[Req, Res], error) {
	s, err := c.reach(ctx)
	if err != nil {
		return nil, err
	}
	up := pipe[Req]{c.n, c.from, c.to, make(chan *Req, depth)}
	down := pipe[Res]{c.n, c.to, c.from, make(chan *Res, depth)}
	serverCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	client := &clientStream[Req, Res]{ctx: ctx, up: up, down: down, over: serverCtx, ended: ended}
	stop := context.AfterFunc(ctx, func() { // the other end hears of it as soon as the network lets it
		_ = c.n.Pass(serverCtx, c.from, c.to)
		cancel()
	})
	c.n.wg.Go(func() {
		defer cancel()
		defer stop()
		ended <- serve(s, &serverStream[Req, Res]{ctx: serverCtx, up: up, down: down})
	})
	return client, nil
}

// clientStream is the caller's end. Of [grpc.ClientStream] it has what streams
// of one process need: no headers, and no sending side to close alone.
type clientStream[Req, Res any] struct {
	grpc.ClientStream
	ctx   context.Context
	over  context.Context // ends with the handler
	up    pipe[Req]
	down  pipe[Res]
	ended chan error
}

func (s *clientStream[Req, Res]) Context() context.Context { return s.ctx }

func (s *clientStream[Req, Res]) Send(m *Req) error {
	return s.up.send(m, s.ctx.Done(), s.over.Done())
}

// TrySend implements [link.ReadyStream].
func (s *clientStream[Req, Res]) TrySend(m *Req) bool { return s.up.trySend(m) }

// Recv gives what the handler sent until it returned, then why it did.
func (s *clientStream[Req, Res]) Recv() (*Res, error) {
	select {
	case m := <-s.down.ch:
		return m, s.down.n.Pass(s.ctx, s.down.from, s.down.to)
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	case <-s.over.Done():
	}
	select {
	case m := <-s.down.ch:
		return m, s.down.n.Pass(s.ctx, s.down.from, s.down.to)
	default:
		return nil, s.reason()
	}
}

func (s *clientStream[Req, Res]) reason() error {
	if err := s.down.n.Pass(s.ctx, s.down.from, s.down.to); err != nil {
		return err
	}
	err := <-s.ended
	if err == nil {
		err = io.EOF
	}
	s.ended <- err
	return err
}

// serverStream is the handler's end.
type serverStream[Req, Res any] struct {
	grpc.ServerStream
	ctx  context.Context
	up   pipe[Req]
	down pipe[Res]
}

func (s *serverStream[Req, Res]) Context() context.Context { return s.ctx }

func (s *serverStream[Req, Res]) Send(m *Res) error { return s.down.send(m, s.ctx.Done(), nil) }

// TrySend implements [link.ReadyStream].
func (s *serverStream[Req, Res]) TrySend(m *Res) bool { return s.down.trySend(m) }

func (s *serverStream[Req, Res]) Recv() (*Req, error) { return s.up.recv(s.ctx) }
