package ipmb_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/midplane-project/midplane/ipmb"
)

const self ipmb.Addr = 0x82

// badBus loses, doubles, delays and so reorders messages. Each request that
// arrives is answered with its own data; the answer has to get back.
type badBus struct {
	rand       *rand.Rand
	loss, copy float64
	delay      time.Duration
	deliver    func(ipmb.Message) bool

	mu     sync.Mutex
	flying sync.WaitGroup
	served map[uint64]int
}

func (b *badBus) Send(_ context.Context, m ipmb.Message) error {
	raw, err := m.Frame.AppendBinary(nil)
	if err != nil {
		return err
	}
	b.fly(func() {
		f, err := ipmb.ParseFrame(raw)
		if err != nil {
			return
		}
		b.mu.Lock()
		b.served[m.ID]++
		b.mu.Unlock()
		answer := m
		answer.Origin = ipmb.Origin{}
		answer.Frame = f.Reply(ipmb.Response{Data: f.Data})
		b.fly(func() { b.deliver(answer) })
	})
	return nil
}

// fly lets a message arrive never, once or twice, after some time.
func (b *badBus) fly(arrive func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	copies := 1
	if b.rand.Float64() < b.loss {
		copies = 0
	} else if b.rand.Float64() < b.copy {
		copies = 2
	}
	for range copies {
		wait := time.Duration(b.rand.Int64N(int64(b.delay) + 1))
		b.flying.Go(func() {
			time.Sleep(wait)
			arrive()
		})
	}
}

// On a bad bus everybody gets his own answer or a timeout, never a foreign
// answer, and nothing stays behind.
func TestRequesterOnBadBus(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		loss := rapid.Float64Range(0, 0.6).Draw(rt, "loss")
		copies := rapid.Float64Range(0, 0.6).Draw(rt, "copies")
		delay := time.Duration(rapid.IntRange(0, 2500).Draw(rt, "delay ms")) * time.Millisecond
		var failure error
		synctest.Test(t, func(t *testing.T) { failure = runOnBadBus(t, seed, loss, copies, delay) })
		if failure != nil {
			rt.Fatal(failure)
		}
	})
}

func runOnBadBus(t *testing.T, seed uint64, loss, copies float64, delay time.Duration) error {
	bus := &badBus{rand: rand.New(rand.NewPCG(seed, 1)), loss: loss, copy: copies, delay: delay, served: make(map[uint64]int)}
	r := ipmb.NewRequester(bus, self, "instance", 1000)
	bus.deliver = r.Deliver
	errs := make(chan error, 40)
	var callers sync.WaitGroup
	for caller := range 20 {
		callers.Go(func() {
			for turn := range 4 {
				errs <- ask(t.Context(), r, ipmb.Addr(0x84+2*(caller%2)), uint32(caller<<8|turn))
			}
		})
	}
	go func() { callers.Wait(); close(errs) }()
	var first error
	for err := range errs {
		if err != nil && first == nil {
			first = err
		}
	}
	bus.flying.Wait()
	if n := r.Pending(); n != 0 && first == nil {
		first = errors.New("requests are left pending")
	}
	return first
}

// ask makes one request that no other makes, and checks that the answer is its own.
func ask(ctx context.Context, r *ipmb.Requester, to ipmb.Addr, n uint32) error {
	data := binary.LittleEndian.AppendUint32(nil, n)
	got, err := r.Do(ctx, to, &ipmb.Request{NetFn: ipmb.NetFnApp, Cmd: 0x01, Data: data}, ipmb.ControllerRhythm)
	switch {
	case errors.Is(err, ipmb.ErrTimeout):
		return nil
	case err != nil:
		return err
	case got.Code != ipmb.OK || len(got.Data) != 4 || binary.LittleEndian.Uint32(got.Data) != n:
		return errors.New("a foreign answer")
	}
	return nil
}

// heldBus keeps what was sent.
type heldBus struct {
	mu   sync.Mutex
	sent []ipmb.Message
	err  error
}

func (b *heldBus) Send(_ context.Context, m ipmb.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = append(b.sent, m)
	return b.err
}

func (b *heldBus) take() []ipmb.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.sent
	b.sent = nil
	return out
}

var deviceID = &ipmb.Request{NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdGetDeviceID, Origin: ipmb.Origin{SourceLUN: ipmb.LUNSMS}}

func answerTo(m ipmb.Message, data ...byte) ipmb.Message {
	m.Frame = m.Frame.Reply(ipmb.Response{Data: data})
	return m
}

func TestRequesterMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &heldBus{}
		r := ipmb.NewRequester(bus, self, "instance", 1000)
		for n := range uint64(70) { // more than there are numbers
			go func() { _, _ = r.Do(t.Context(), 0x84, deviceID, ipmb.ControllerRhythm) }()
			synctest.Wait()
			m := bus.take()[0]
			want := ipmb.Frame{To: 0x84, NetFn: ipmb.NetFnApp, From: self, Seq: uint8(n % 64), FromLUN: ipmb.LUNSMS, Cmd: ipmb.CmdGetDeviceID}
			if m.Frame.String() != want.String() || m.ID != 1000+n || m.Instance != "instance" || m.Origin.ID != m.ID || m.Origin.Source != self {
				t.Errorf("sent %s, %+v", m.Frame, m)
			}
			if !r.Deliver(answerTo(m)) {
				t.Error("the answer was not taken")
			}
			synctest.Wait()
		}
	})
}

func TestRequesterRhythm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &heldBus{}
		r := ipmb.NewRequester(bus, self, "instance", 1)
		start := time.Now()
		_, err := r.Do(t.Context(), 0x84, deviceID, ipmb.LinuxRhythm)
		if !errors.Is(err, ipmb.ErrTimeout) || time.Since(start) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		sent := bus.take()
		if len(sent) != len(ipmb.LinuxRhythm) {
			t.Fatalf("%d tries", len(sent))
		}
		for _, m := range sent {
			if m.ID != sent[0].ID || m.Frame.Seq != sent[0].Frame.Seq {
				t.Errorf("a retry has another name: %+v", m)
			}
			if r.Deliver(answerTo(m)) {
				t.Error("a late answer was taken")
			}
		}
	})
}

func TestRequesterResend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &heldBus{}
		r := ipmb.NewRequester(bus, self, "instance", 1)
		done := make(chan error, 2)
		for _, to := range []ipmb.Addr{0x20, 0x84} {
			go func() {
				_, err := r.Do(t.Context(), to, deviceID, ipmb.ControllerRhythm)
				done <- err
			}()
		}
		synctest.Wait()
		first := bus.take()
		r.Resend(0x20)
		synctest.Wait()
		again := bus.take()
		if len(first) != 2 || len(again) != 1 || again[0].Frame.To != 0x20 {
			t.Fatalf("sent %v, then %v", first, again)
		}
		for _, m := range first {
			r.Deliver(answerTo(m))
			r.Deliver(answerTo(m)) // the answer to the second sending
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if r.Pending() != 0 {
			t.Error("requests are left pending")
		}
	})
}

func TestRequesterRunsOutOfNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &heldBus{}
		r := ipmb.NewRequester(bus, self, "instance", 1)
		ctx, cancel := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		for range ipmb.MaxSequence {
			callers.Go(func() {
				if _, err := r.Do(ctx, 0x84, deviceID, ipmb.LinuxRhythm); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		seen := make(map[uint8]bool)
		for _, m := range bus.take() {
			seen[m.Frame.Seq] = true
		}
		if len(seen) != ipmb.MaxSequence {
			t.Errorf("%d different numbers", len(seen))
		}
		if _, err := r.Do(ctx, 0x84, deviceID, ipmb.LinuxRhythm); !errors.Is(err, ipmb.ErrBusy) {
			t.Errorf("the 65th request: %v", err)
		}
		callers.Go(func() { _, _ = r.Do(ctx, 0x86, deviceID, ipmb.LinuxRhythm) })
		synctest.Wait()
		if n := len(bus.take()); n != 1 {
			t.Errorf("%d messages to another target", n)
		}
		cancel()
		callers.Wait()
		if r.Pending() != 0 {
			t.Error("requests are left pending")
		}
	})
}

func TestRequesterRefusals(t *testing.T) {
	bus := &heldBus{err: ipmb.ErrDestination}
	r := ipmb.NewRequester(bus, self, "instance", 1)
	if _, err := r.Do(t.Context(), 0x84, deviceID, ipmb.LinuxRhythm); !errors.Is(err, ipmb.ErrDestination) {
		t.Errorf("nobody there: %v", err)
	}
	if len(bus.take()) != 1 || r.Pending() != 0 {
		t.Error("a refused request was tried again or is left pending")
	}
}

// An answer must agree in everything that a frame tells.
func TestRequesterDeliverChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &heldBus{}
		r := ipmb.NewRequester(bus, self, "instance", 1)
		go func() { _, _ = r.Do(t.Context(), 0x84, deviceID, ipmb.ControllerRhythm) }()
		synctest.Wait()
		good := answerTo(bus.take()[0])
		for name, change := range map[string]func(*ipmb.Message){
			"id":        func(m *ipmb.Message) { m.ID++ },
			"instance":  func(m *ipmb.Message) { m.Instance = "another" },
			"responder": func(m *ipmb.Message) { m.Frame.From = 0x86 },
			"requester": func(m *ipmb.Message) { m.Frame.To = 0x86 },
			"sequence":  func(m *ipmb.Message) { m.Frame.Seq++ },
			"command":   func(m *ipmb.Message) { m.Frame.Cmd++ },
			"function":  func(m *ipmb.Message) { m.Frame.NetFn = ipmb.NetFnStorage.Response() },
			"LUN":       func(m *ipmb.Message) { m.Frame.ToLUN = 0 },
			"unit":      func(m *ipmb.Message) { m.Frame.FromLUN = 1 },
			"request":   func(m *ipmb.Message) { m.Frame.NetFn = ipmb.NetFnApp },
			"no code":   func(m *ipmb.Message) { m.Frame.Data = nil },
		} {
			bad := good
			change(&bad)
			if r.Deliver(bad) {
				t.Errorf("an answer with a wrong %s was taken", name)
			}
		}
		if !r.Deliver(good) {
			t.Error("the right answer was not taken")
		}
	})
}
