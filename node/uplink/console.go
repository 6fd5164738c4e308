package uplink

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"sync"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Console is the VM's serial console for the one who types.
type Console interface {
	// Next waits for characters; lost says that some were lost before.
	Next(ctx context.Context) (p []byte, lost bool, err error)
	// Heard tells that whom they are for has n more of them, the last in that
	// packet of his, and the last number of his session's packets; Resumed gives
	// both of a session that goes on.
	Heard(n int, packet uint8, number uint32)
	Resumed() (packet uint8, number uint32, ok bool)
	Write(p []byte) (int, error)
	Break(ctx context.Context) error
	// Power tells whether the VM has any; changed is closed when that is not so
	// any more.
	Power() (on bool, changed <-chan struct{})
	// Taken is closed when another one took it over.
	Taken() <-chan struct{}
	Close() error
}

// called serves the console to a replica that called for it, on a stream of its
// own, until either end, or the node's stream to that replica, is over.
func (w *way) called(ctx context.Context, call *v1.ConsoleCall) {
	u := w.r.u
	if u.cfg.Console == nil {
		return // none was offered
	}
	w.spawn(func() {
		if err := w.serveConsole(ctx, call); err != nil {
			u.cfg.Logger.Info("console not brought to the shelf", "replica", w.name, "err", err)
		}
	})
}

func (w *way) serveConsole(ctx context.Context, call *v1.ConsoleCall) error {
	u := w.r.u
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := w.conn.ServeConsole(ctx)
	if err != nil {
		return err
	}
	s := consoleStream{stream: stream, end: cancel, log: u.cfg.Logger}
	hello := &v1.ConsoleHello{Call: call.GetCall(), Shelf: u.cfg.Shelf, HardwareAddress: uint32(u.cfg.HW)}
	if s.console, err = u.cfg.Console(call); err != nil {
		hello.Problem = err.Error()
		if s.tell(&v1.ServeConsoleRequest{Kind: &v1.ServeConsoleRequest_Hello{Hello: hello}}) == nil {
			_, _ = stream.Recv() // until it was read
		}
		return err
	}
	defer s.console.Close()
	on, changed := s.console.Power()
	packet, number, resumed := s.console.Resumed()
	hello.Power, hello.Resumed, hello.Sequence, hello.SessionSequence = on, resumed, uint32(packet), number
	if err := s.tell(&v1.ServeConsoleRequest{Kind: &v1.ServeConsoleRequest_Hello{Hello: hello}}); err != nil {
		return err
	}
	s.run(ctx, changed)
	return nil
}

// consoleStream is a console on its way to a replica.
type consoleStream struct {
	console Console
	stream  v1.Backplane_ServeConsoleClient
	end     func() // ends the stream
	log     *slog.Logger
	sending sync.Mutex
}

// run carries both directions until one of them, ctx or the place at the console ends.
func (s *consoleStream) run(ctx context.Context, changed <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	for _, part := range []func(context.Context){
		s.listen, s.speak, func(ctx context.Context) { s.tellPower(ctx, changed) },
	} {
		parts.Go(func() {
			defer cancel()
			part(ctx)
		})
	}
	select {
	case <-s.console.Taken():
	case <-ctx.Done():
	}
	cancel()
	s.end()
	parts.Wait()
}

func (s *consoleStream) tell(m *v1.ServeConsoleRequest) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	return s.stream.Send(m)
}

// listen gives the VM what the replica sends.
func (s *consoleStream) listen(ctx context.Context) {
	for {
		m, err := s.stream.Recv()
		if err != nil {
			return
		}
		switch k := m.GetKind().(type) {
		case *v1.ServeConsoleResponse_Input:
			_, err = s.console.Write(k.Input)
		case *v1.ServeConsoleResponse_Break:
			err = s.console.Break(ctx)
		case *v1.ServeConsoleResponse_Heard:
			h := k.Heard
			s.console.Heard(int(min(h.GetCharacters(), math.MaxInt32)), uint8(h.GetSequence()), h.GetSessionSequence())
		}
		if err != nil { // as on a real line
			s.log.Debug("input of the shelf's to the console lost", "why", err)
		}
	}
}

// speak sends what the VM says, as fast as the replica takes it.
func (s *consoleStream) speak(ctx context.Context) {
	for {
		p, lost, err := s.console.Next(ctx)
		if err != nil {
			return
		}
		for first := true; first || len(p) > 0; first = false {
			n := min(len(p), maxText)
			text := &v1.ConsoleText{Data: bytes.Clone(p[:n]), Lost: lost && first}
			if s.tell(&v1.ServeConsoleRequest{Kind: &v1.ServeConsoleRequest_Output{Output: text}}) != nil {
				return
			}
			p = p[n:]
		}
	}
}

// maxText is how much of what a VM says is in one message.
const maxText = 16 << 10

func (s *consoleStream) tellPower(ctx context.Context, changed <-chan struct{}) {
	for {
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		var on bool
		on, changed = s.console.Power()
		if s.tell(&v1.ServeConsoleRequest{Kind: &v1.ServeConsoleRequest_Power{Power: on}}) != nil {
			return
		}
	}
}
