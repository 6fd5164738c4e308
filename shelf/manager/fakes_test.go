package manager

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/rmcp"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/state"
)

const (
	blade1 ipmb.Addr = 0x82
	blade2 ipmb.Addr = 0x84
	admin            = ipmb.PrivilegeAdmin
)

var errAmbiguous = errors.New("leadership lost while committing")

// fakeCluster is a replicated state without replication: what its replicas
// propose is applied at once to one state.
type fakeCluster struct {
	fsm *state.FSM

	mu    sync.Mutex
	index uint64
}

func newFakeCluster(t testing.TB) *fakeCluster {
	c := &fakeCluster{fsm: state.NewFSM(state.New(state.Config{}), func(err error) { t.Errorf("halted: %v", err) })}
	c.apply(t, &v1.Command{Kind: &v1.Command_SetShelf{SetShelf: &v1.SetShelf{
		Shelf: "lab", Guid: bytes.Repeat([]byte{0xA5}, 16), HardwareAddresses: []uint32{0x41, 0x42}, SlotNames: []string{"blade1", "blade2"},
	}}})
	return c
}

func (c *fakeCluster) apply(t testing.TB, cmd *v1.Command) *v1.Answer {
	t.Helper()
	cmd.Version, cmd.Time = state.Version, time.Now().UnixNano()
	a, err := c.commit(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (c *fakeCluster) commit(cmd *v1.Command) (*v1.Answer, error) {
	b, err := proto.Marshal(cmd)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index++
	switch r := c.fsm.Apply(&raft.Log{Index: c.index, Type: raft.LogCommand, Data: b}).(type) {
	case *v1.Answer:
		return r, nil
	case error:
		return nil, r
	}
	return nil, errors.New("no answer")
}

// fakeRaft is one replica's way to the cluster, with faults to be switched on.
type fakeRaft struct {
	cluster *fakeCluster

	mu        sync.Mutex
	term      uint64
	deaf      bool // nothing is committed, nothing verified
	ambiguous bool // commands are committed, but fail
	proposals int
}

func (r *fakeRaft) Propose(_ context.Context, c *v1.Command) (*v1.Answer, error) {
	r.mu.Lock()
	r.proposals++
	deaf, ambiguous := r.deaf, r.ambiguous
	r.mu.Unlock()
	if deaf {
		return nil, errNotLeading
	}
	a, err := r.cluster.commit(c)
	if ambiguous {
		return nil, errAmbiguous
	}
	return a, err
}

func (r *fakeRaft) VerifyLeader(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.deaf {
		return errNotLeading
	}
	return nil
}

func (r *fakeRaft) Term() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.term
}

func (r *fakeRaft) set(f func(*fakeRaft)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r)
}

// fakeBus answers requests from 0x20 by the handlers of the controllers that
// are there.
type fakeBus struct {
	mu      sync.Mutex
	there   map[ipmb.Addr]ipmb.HandlerFunc
	present []*v1.Presence
	sent    []ipmb.Message
	deliver func(ipmb.Message)
}

func (b *fakeBus) Send(_ context.Context, m ipmb.Message) error {
	b.mu.Lock()
	b.sent = append(b.sent, m)
	h := b.there[m.Frame.To]
	b.mu.Unlock()
	if h == nil {
		return ipmb.ErrDestination
	}
	r := h(context.Background(), m.Frame.Request(m.Origin))
	if r.Code == ipmb.ErrNoResponse {
		return nil // it stays silent
	}
	b.deliver(ipmb.Message{ID: m.ID, Instance: m.Instance, Frame: m.Frame.Reply(r)})
	return nil
}

func (b *fakeBus) table(string) []*v1.Presence {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.present
}

// attach puts a controller on the bus, under its slot's claim.
func (b *fakeBus) attach(a ipmb.Addr, epoch uint64, h ipmb.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.there[a] = h
	b.present = append(b.present, &v1.Presence{Address: uint32(a), State: v1.PresenceState_PRESENCE_STATE_PRESENT, Epoch: epoch})
}

func (b *fakeBus) detachAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.there, b.present = make(map[ipmb.Addr]ipmb.HandlerFunc), nil
}

func (b *fakeBus) frames() []ipmb.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]ipmb.Message(nil), b.sent...)
}

// fakeLAN has the secrets of a LAN door, the same at every replica.
var fakeLAN = &LAN{
	Key:      func() ([]byte, error) { return bytes.Repeat([]byte{7}, mc.SealKeyLen), nil },
	Password: func() (string, error) { return "Sesame0123456789", nil },
	Address:  netip.MustParseAddrPort("192.0.2.9:6230"),
}

// replica is a manager with its fakes.
type replica struct {
	*Manager
	raft *fakeRaft
	bus  *fakeBus
	vms  *fakeConsoles
	id   uint64
}

func newReplica(c *fakeCluster, term uint64) *replica {
	r := &replica{
		raft: &fakeRaft{cluster: c, term: term},
		bus:  &fakeBus{there: make(map[ipmb.Addr]ipmb.HandlerFunc)},
		vms:  &fakeConsoles{closed: make(chan uint8, 9), resumed: make(chan rmcp.Opening, 9)},
	}
	r.Manager = New(Config{
		Shelf: "lab", State: c.fsm, Raft: r.raft, Bus: r.bus, Presence: r.bus.table,
		Identity: mc.Identity{DeviceID: 0x20, Revision: 1, FirmwareMaj: 0, FirmwareMin: 0x10}, LAN: fakeLAN, Console: r.vms.open,
	})
	r.bus.deliver = func(m ipmb.Message) { r.Serve(context.Background(), m) }
	return r
}

// trusting lets boards ask over the bus for what the policy keeps from them, for
// tests of what comes of it.
func (r *replica) trusting() *replica {
	var open []ipmb.CommandID
	for _, n := range []ipmb.NetFn{ipmb.NetFnChassis, ipmb.NetFnSensor, ipmb.NetFnApp, ipmb.NetFnStorage} {
		for cmd := range 256 { // also those that nobody knows
			open = append(open, ipmb.CommandID{NetFn: n, Cmd: ipmb.Cmd(cmd)})
		}
	}
	for _, c := range r.Commands() {
		open = append(open, ipmb.CommandID{NetFn: c.NetFn, Body: c.Body, Cmd: c.Cmd})
	}
	r.cfg.Policy = ipmb.NewGuestPolicy(open)
	return r
}

// lead begins a tenure; the function that it gives ends it.
func (r *replica) lead(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	_, begun := r.current()
	go func() {
		defer close(done)
		if err := r.Lead(ctx, r.raft.Term()); !errors.Is(err, context.Canceled) {
			t.Errorf("Lead: %v", err)
		}
	}()
	<-begun
	return func() {
		cancel()
		<-done
	}
}

// leading is a replica in office until the test ends.
func leading(t testing.TB) *replica {
	t.Helper()
	r := newReplica(newFakeCluster(t), 1)
	t.Cleanup(r.lead(t))
	return r
}

// message makes a request from a controller's address to 0x20.
func (r *replica) message(from ipmb.Addr, speaker ipmb.Speaker, netFn ipmb.NetFn, cmd ipmb.Cmd, data ...byte) ipmb.Message {
	r.id++
	return ipmb.Message{
		ID: r.id, Instance: string(bytes.Repeat([]byte{byte(from)}, 16)),
		Frame:  ipmb.Frame{To: ipmb.AddrShelfManager, NetFn: netFn, From: from, Seq: uint8(r.id & 0x3F), Cmd: cmd, Data: data},
		Origin: ipmb.Origin{Speaker: speaker, Privilege: ipmb.PrivilegeOperator},
	}
}

// ask sends a request to 0x20 and gives the completion code and the data.
func (r *replica) ask(t testing.TB, m ipmb.Message) (ipmb.CompletionCode, []byte) {
	t.Helper()
	answer, ok := r.Serve(context.Background(), m)
	if !ok {
		t.Fatalf("no answer to %s", m.Frame)
	}
	rs, ok := answer.Frame.Response()
	if !ok || answer.ID != m.ID || answer.Instance != m.Instance || answer.Frame.To != m.Frame.From {
		t.Fatalf("answer %+v to %s", answer, m.Frame)
	}
	return rs.Code, rs.Data
}

// claim takes a slot.
func (r *replica) claim(t testing.TB, hw uint32, boot uint64) uint64 {
	t.Helper()
	a := r.Claim(context.Background(), &v1.NodeHello{
		Shelf: "lab", HardwareAddress: hw, Instance: bytes.Repeat([]byte{byte(hw)}, 16), Boot: boot,
		Name: "blade" + string(rune('0'+hw-0x40)), Profile: "atca", Outbox: bytes.Repeat([]byte{0xEE}, 16),
		DeviceId: []byte{0x20, 0x01, 0x00, 0x10, 0x02, 0x2F, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	})
	if a.GetRefusal() != nil {
		t.Fatalf("claim of %#x: %v", hw, a.GetRefusal())
	}
	return a.GetEpoch()
}
