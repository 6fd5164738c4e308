package sim

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/midplane-project/midplane/internal/inmem"
)

const (
	rpcPatience      = time.Second // of one exchange between replicas, as with frozen peers in the lab profile
	snapshotPatience = 10 * time.Second
	maxTravel        = 2 * time.Millisecond
)

var errUnreachable = errors.New("sim: the replica cannot be reached")

// raftNet carries raft's messages over a network's faults: what is cut is held
// back, and comes late if the cut heals before the sender's patience ends.
type raftNet struct {
	net *inmem.Network

	mu    sync.Mutex
	hosts map[raft.ServerAddress]*raftHost
}

func newRaftNet(n *inmem.Network) *raftNet {
	return &raftNet{net: n, hosts: make(map[raft.ServerAddress]*raftHost)}
}

// raftHost is the transport of one run of one replica.
type raftHost struct {
	net    *raftNet
	addr   raft.ServerAddress
	inbox  chan raft.RPC
	closed chan struct{}
	end    func()
}

var _ raft.Transport = (*raftHost)(nil)

// transport gives a run of the replica at addr its transport, in the place of
// the one that the run before had.
func (n *raftNet) transport(addr string) *raftHost {
	h := &raftHost{net: n, addr: raft.ServerAddress(addr), inbox: make(chan raft.RPC, 16), closed: make(chan struct{})}
	h.end = sync.OnceFunc(func() { close(h.closed) })
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[h.addr] = h
	return h
}

func (n *raftNet) host(addr raft.ServerAddress) *raftHost {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hosts[addr]
}

// ask brings a request to another replica and its answer back.
func (h *raftHost) ask(to raft.ServerAddress, command any, data io.Reader, patience time.Duration) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := h.net.travel(ctx, h.addr, to); err != nil {
		return nil, err
	}
	peer := h.net.host(to)
	if peer == nil {
		return nil, errUnreachable
	}
	answer := make(chan raft.RPCResponse, 1)
	select {
	case peer.inbox <- raft.RPC{Command: command, Reader: data, RespChan: answer}:
	case <-peer.closed:
		return nil, errUnreachable
	case <-ctx.Done():
		return nil, errUnreachable
	}
	select {
	case r := <-answer:
		if err := h.net.travel(ctx, to, h.addr); err != nil {
			return nil, err
		}
		return r.Response, r.Error
	case <-peer.closed:
		return nil, errUnreachable
	case <-ctx.Done():
		return nil, errUnreachable
	}
}

func (n *raftNet) travel(ctx context.Context, from, to raft.ServerAddress) error {
	time.Sleep(rand.N(maxTravel))
	if n.net.Pass(ctx, string(from), string(to)) != nil {
		return errUnreachable
	}
	return nil
}

// into asks and puts the answer where raft wants it.
func into[T any](h *raftHost, to raft.ServerAddress, command any, data io.Reader, patience time.Duration, out *T) error {
	r, err := h.ask(to, command, data, patience)
	if err != nil {
		return err
	}
	*out = *r.(*T)
	return nil
}

func (h *raftHost) Consumer() <-chan raft.RPC          { return h.inbox }
func (h *raftHost) LocalAddr() raft.ServerAddress      { return h.addr }
func (h *raftHost) SetHeartbeatHandler(func(raft.RPC)) {}
func (h *raftHost) Close() error                       { h.end(); return nil }

func (h *raftHost) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

func (h *raftHost) AppendEntries(_ raft.ServerID, to raft.ServerAddress, rq *raft.AppendEntriesRequest, rs *raft.AppendEntriesResponse) error {
	return into(h, to, rq, nil, rpcPatience, rs)
}

func (h *raftHost) RequestVote(_ raft.ServerID, to raft.ServerAddress, rq *raft.RequestVoteRequest, rs *raft.RequestVoteResponse) error {
	return into(h, to, rq, nil, rpcPatience, rs)
}

// RequestPreVote makes the transport one that raft uses for pre-votes.
func (h *raftHost) RequestPreVote(_ raft.ServerID, to raft.ServerAddress, rq *raft.RequestPreVoteRequest, rs *raft.RequestPreVoteResponse) error {
	return into(h, to, rq, nil, rpcPatience, rs)
}

func (h *raftHost) InstallSnapshot(_ raft.ServerID, to raft.ServerAddress, rq *raft.InstallSnapshotRequest, rs *raft.InstallSnapshotResponse, data io.Reader) error {
	return into(h, to, rq, data, snapshotPatience, rs)
}

func (h *raftHost) TimeoutNow(_ raft.ServerID, to raft.ServerAddress, rq *raft.TimeoutNowRequest, rs *raft.TimeoutNowResponse) error {
	return into(h, to, rq, nil, rpcPatience, rs)
}

func (h *raftHost) EncodePeer(_ raft.ServerID, a raft.ServerAddress) []byte { return []byte(a) }
func (h *raftHost) DecodePeer(b []byte) raft.ServerAddress                  { return raft.ServerAddress(b) }
