package backplanetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/midplane-project/midplane/internal/inmem"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/uplink"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/backplane"
)

// Bus is a backplane: replicas, and nodes when there are some.
type Bus struct {
	t        testing.TB
	State    *State
	Net      *inmem.Network
	Replicas []*Replica
	nodes    []*Node
}

// Replica is one switch with its shelf manager.
type Replica struct {
	Name   string
	Switch *backplane.Switch
	Brain  *Brain
	// stuck, when set, is the leader that the replica still believes in.
	stuck atomic.Pointer[belief]
	stop  func()
}

// New makes a bus of shelves "lab" and "lab2" with the replicas named, the
// first of which leads. Change, if not nil, may alter each switch's config.
func New(t testing.TB, change func(*backplane.Config), replicas ...string) *Bus {
	b := &Bus{t: t, State: NewState("lab", "lab2"), Net: inmem.NewNetwork()}
	b.State.Elect(replicas[0])
	for _, name := range replicas {
		b.Replicas = append(b.Replicas, b.replica(name, change, replicas))
	}
	t.Cleanup(b.close)
	return b
}

func (b *Bus) close() {
	b.Net.HealAll()
	for _, n := range b.nodes {
		n.Stop()
	}
	for _, r := range b.Replicas {
		r.stop()
		r.Switch.Close()
	}
	b.Net.Wait()
}

func (b *Bus) replica(name string, change func(*backplane.Config), all []string) *Replica {
	r := &Replica{Name: name}
	r.Brain = &Brain{State: b.State, Replica: name, Believes: func() (uint64, string) { return r.leader(b.State) }}
	cfg := backplane.Config{
		Replica: name, Cluster: func() string { return "test" }, Version: "test",
		Replicas: func() []*v1.ReplicaAddress { return addresses(all) },
		Dial:     b.Net.Dialer(name), Leader: func() (uint64, string) { return r.leader(b.State) },
		Brain: r.Brain, Slot: b.State.Slot,
	}
	if change != nil {
		change(&cfg)
	}
	r.Switch = backplane.New(cfg)
	r.stop = b.Net.Serve(name, r.Switch)
	return r
}

// addresses lists replicas whose address is their name.
func addresses(names []string) []*v1.ReplicaAddress {
	out := make([]*v1.ReplicaAddress, len(names))
	for i, n := range names {
		out[i] = &v1.ReplicaAddress{Name: n, Address: n}
	}
	return out
}

func (r *Replica) leader(s *State) (uint64, string) {
	if b := r.stuck.Load(); b != nil {
		return b.term, b.leader
	}
	return s.Leader()
}

// Replica finds a replica by its name.
func (b *Bus) Replica(name string) *Replica {
	for _, r := range b.Replicas {
		if r.Name == name {
			return r
		}
	}
	b.t.Fatalf("no replica %q", name)
	return nil
}

// Elect makes another replica the leader. Those in unaware go on to believe
// what they believed.
func (b *Bus) Elect(leader string, unaware ...string) {
	term, before := b.State.Leader()
	for _, name := range unaware {
		b.Replica(name).stuck.Store(&belief{term, before})
	}
	term = b.State.Elect(leader)
	for _, r := range b.Replicas {
		if r.stuck.Load() == nil {
			r.Switch.LeaderChanged(term, leader)
		}
	}
}

// Enlighten lets an unaware replica see the true leader.
func (b *Bus) Enlighten(name string) {
	r := b.Replica(name)
	r.stuck.Store(nil)
	r.Switch.LeaderChanged(b.State.Leader())
}

// Isolate cuts a replica or node off from all others.
func (b *Bus) Isolate(name string) {
	for _, other := range b.everybody() {
		if other != name {
			b.Net.Cut(name, other)
		}
	}
}

func (b *Bus) everybody() []string {
	var out []string
	for _, r := range b.Replicas {
		out = append(out, r.Name)
	}
	for _, n := range b.nodes {
		out = append(out, n.Name)
	}
	return out
}

// Node is a controller at an uplink. It answers every request with its
// address and the request's data.
type Node struct {
	Name      string
	Addr      ipmb.Addr
	Uplink    *uplink.Uplink
	Requester *ipmb.Requester

	cancel context.CancelFunc
	done   chan error

	mu   sync.Mutex
	seen []ipmb.Message // requests that arrived
}

// Node attaches a node to all replicas. Change, if not nil, may alter its config.
func (b *Bus) Node(shelf, name string, hw uint8, change func(*uplink.Config)) *Node {
	n := &Node{Name: name, Addr: ipmb.AddrFromHW(hw), done: make(chan error, 1)}
	cfg := uplink.Config{Shelf: shelf, HW: hw, Boot: 1, Name: name, Dial: b.Net.Dialer(name), Deliver: n.deliver}
	copy(cfg.Instance[:], shelf+"/"+name+"................")
	for _, r := range b.Replicas {
		cfg.Replicas = append(cfg.Replicas, uplink.Replica{Name: r.Name, Addr: r.Name})
	}
	cfg.LeaderChanged = func(uint64, string) { n.Requester.Resend(ipmb.AddrShelfManager) }
	if change != nil {
		change(&cfg)
	}
	n.Uplink = uplink.New(cfg)
	n.Requester = ipmb.NewRequester(n.Uplink, n.Addr, string(cfg.Instance[:]), cfg.Boot<<32)
	var ctx context.Context
	ctx, n.cancel = context.WithCancel(context.Background())
	go func() { n.done <- n.Uplink.Run(ctx) }()
	b.nodes = append(b.nodes, n)
	return n
}

// Stop ends the node's streams and gives what ended Run.
func (n *Node) Stop() error {
	n.cancel()
	err := <-n.done
	n.done <- err
	return err
}

// Ended waits until the uplink ends by itself.
func (n *Node) Ended() error {
	err := <-n.done
	n.done <- err
	return err
}

// deliver answers requests with the own address and the request's data, and
// hands responses to who waits.
func (n *Node) deliver(ctx context.Context, m ipmb.Message) {
	if m.Frame.IsResponse() {
		n.Requester.Deliver(m)
		return
	}
	n.mu.Lock()
	n.seen = append(n.seen, m)
	n.mu.Unlock()
	answer := ipmb.Response{Data: append([]byte{byte(n.Addr)}, m.Frame.Data...)}
	_ = n.Uplink.Send(ctx, ipmb.Message{ID: m.ID, Instance: m.Instance, Frame: m.Frame.Reply(answer)})
}

// Seen lists the requests that arrived.
func (n *Node) Seen() []ipmb.Message {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]ipmb.Message(nil), n.seen...)
}

// DeviceID asks the controller at an address.
func (n *Node) DeviceID(ctx context.Context, to ipmb.Addr) (ipmb.Response, error) {
	return n.Requester.Do(ctx, to, GetDeviceID(ipmb.SpeakerController), ipmb.LinuxRhythm)
}

// Echo sends data to the controller at an address, which must send it back
// behind its own address.
func (n *Node) Echo(ctx context.Context, to ipmb.Addr, data []byte) error {
	req := GetDeviceID(ipmb.SpeakerController)
	req.Data = data
	r, err := n.Requester.Do(ctx, to, req, ipmb.LinuxRhythm)
	if err != nil {
		return err
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("%s asks %s: %w", n.Name, to, err)
	}
	if want := append([]byte{byte(to)}, data...); !bytes.Equal(r.Data, want) {
		return fmt.Errorf("%w: %x, want %x", ErrForeign, r.Data, want)
	}
	return nil
}

// ErrForeign says that a request got the answer of another one.
var ErrForeign = errors.New("backplanetest: foreign answer")

// GetDeviceID is a request that everybody may make.
func GetDeviceID(by ipmb.Speaker) *ipmb.Request {
	return &ipmb.Request{NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdGetDeviceID, Origin: ipmb.Origin{Speaker: by, Privilege: ipmb.PrivilegeAdmin}}
}
