package backplane

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/midplane-project/midplane/internal/inmem"
	"github.com/midplane-project/midplane/internal/wire"
	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const (
	instanceA = "aaaaaaaaaaaaaaaa"
	instanceB = "bbbbbbbbbbbbbbbb"
	hw1       = 0x41
	hw2       = 0x42
	addr1     = ipmb.Addr(0x82)
	addr2     = ipmb.Addr(0x84)
)

// fakeBrain accepts every claim and answers every request with OK.
type fakeBrain struct {
	mu     sync.Mutex
	slots  map[slotKey]Slot
	served int
	hold   chan struct{} // not nil: requests wait for it
}

func (b *fakeBrain) slot(shelf string, hw uint8) Slot {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.slots[slotKey{shelf, hw}]
}

func (b *fakeBrain) Claim(_ context.Context, h *v1.NodeHello) *v1.RelayClaimAnswer {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := slotKey{h.GetShelf(), uint8(h.GetHardwareAddress())}
	c := b.slots[k]
	now := claimant{string(h.GetInstance()), h.GetBoot()}
	if c.Held && string(c.Instance[:]) != now.instance {
		return &v1.RelayClaimAnswer{Refusal: refusal(v1.RefusalCode_REFUSAL_CODE_CLAIMED, "held")}
	}
	if !c.Held || c.Boot != now.boot {
		c = Slot{Held: true, Instance: [16]byte(h.GetInstance()), Boot: now.boot, Epoch: c.Epoch + 1}
	}
	b.slots[k] = c
	return &v1.RelayClaimAnswer{Epoch: c.Epoch}
}

func (b *fakeBrain) Detach(_ context.Context, shelf string, hw uint8, _ uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.slots[slotKey{shelf, hw}]
	c.Held = false
	b.slots[slotKey{shelf, hw}] = c
}

func (b *fakeBrain) Events(context.Context, *v1.RelayEvents) *v1.EventAck { return &v1.EventAck{} }
func (b *fakeBrain) Attached(string, uint8, uint64, bool)                 {}

func (b *fakeBrain) Serve(_ context.Context, _ string, m ipmb.Message) (ipmb.Message, bool) {
	b.mu.Lock()
	b.served++
	b.mu.Unlock()
	if b.hold != nil {
		<-b.hold
	}
	return ipmb.Message{Frame: m.Frame.Reply(ipmb.Response{})}, !m.Frame.IsResponse()
}

// rig is one switch, its leader in term 5, and a network to reach it.
type rig struct {
	t     *testing.T
	sw    *Switch
	brain *fakeBrain
	net   *inmem.Network
	leads atomic.Pointer[reign]
}

type reign struct {
	term   uint64
	leader string
}

func newRig(t *testing.T, change func(*Config)) *rig {
	r := &rig{t: t, net: inmem.NewNetwork(), brain: &fakeBrain{slots: make(map[slotKey]Slot)}}
	r.leads.Store(&reign{5, "r1"})
	cfg := Config{
		Replica: "r1", Cluster: func() string { return "test" }, Dial: r.net.Dialer("r1"), Brain: r.brain, Slot: r.brain.slot,
		Replicas: func() []*v1.ReplicaAddress { return []*v1.ReplicaAddress{{Name: "r1", Address: "r1"}} },
		Leader:   func() (uint64, string) { l := r.leads.Load(); return l.term, l.leader },
	}
	if change != nil {
		change(&cfg)
	}
	r.sw = New(cfg)
	stop := r.net.Serve("r1", r.sw)
	t.Cleanup(func() { stop(); r.sw.Close(); r.net.Wait() })
	return r
}

// wired is a node's stream in the hands of a test.
type wired struct {
	t      *testing.T
	stream v1.Backplane_AttachClient
	epoch  uint64
	got    chan *v1.AttachResponse
	ended  chan error
}

func hello(hw uint32, instance string, boot uint64) *v1.NodeHello {
	return &v1.NodeHello{Protocol: Protocol, Shelf: "lab", HardwareAddress: hw, Instance: []byte(instance), Boot: boot}
}

// attach sends a hello and gives the stream with the first answer.
func (r *rig) attach(h *v1.NodeHello) (*wired, *v1.AttachResponse) {
	return r.open(&v1.AttachRequest{Kind: &v1.AttachRequest_Hello{Hello: h}})
}

func (r *rig) open(firstMessage *v1.AttachRequest) (*wired, *v1.AttachResponse) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c, err := r.net.Dialer("node")(ctx, "r1")
	if err != nil {
		r.t.Fatal(err)
	}
	w := &wired{t: r.t, got: make(chan *v1.AttachResponse, 1000), ended: make(chan error, 1)}
	if w.stream, err = c.Attach(ctx); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(cancel)
	if err := w.stream.Send(firstMessage); err != nil {
		r.t.Fatal(err)
	}
	answer, err := w.stream.Recv()
	if err != nil {
		r.t.Fatal(err)
	}
	w.epoch = answer.GetHello().GetEpoch()
	go w.read()
	return w, answer
}

func (w *wired) read() {
	for {
		m, err := w.stream.Recv()
		if err != nil {
			w.ended <- err
			return
		}
		w.got <- m
	}
}

// frames gives the messages that arrived, after everything has come to rest.
func (w *wired) frames() (out []ipmb.Message) {
	w.t.Helper()
	synctest.Wait()
	for {
		select {
		case m := <-w.got:
			for _, e := range m.GetBatch().GetEnvelopes() {
				msg, err := wire.FromEnvelope("lab", e)
				if err != nil {
					w.t.Fatal(err)
				}
				out = append(out, msg)
			}
		default:
			return out
		}
	}
}

func (w *wired) send(e *v1.Envelope) {
	w.t.Helper()
	err := w.stream.Send(&v1.AttachRequest{Kind: &v1.AttachRequest_Batch{Batch: &v1.Batch{Envelopes: []*v1.Envelope{e}}}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// refused gives the refusal that ended the stream, nil when it goes on.
func (w *wired) refused() *v1.Refusal {
	synctest.Wait()
	for {
		select {
		case m := <-w.got:
			if m.GetRefusal() != nil {
				return m.GetRefusal()
			}
		default:
			return nil
		}
	}
}

// request is a valid request of the node at addr1 to another controller.
func (w *wired) request(to ipmb.Addr, by ipmb.Speaker, req *ipmb.Request) *v1.Envelope {
	w.t.Helper()
	e, err := wire.ToEnvelope(ipmb.Message{
		ID: 1, Instance: instanceA, Epoch: w.epoch, Frame: ipmb.RequestFrame(to, addr1, 0, 1, req),
		Origin: ipmb.Origin{Speaker: by, Privilege: ipmb.PrivilegeAdmin},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

var deviceID = &ipmb.Request{NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdGetDeviceID}
