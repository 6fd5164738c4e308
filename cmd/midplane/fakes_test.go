package main

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/deploy/lab"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// longAgo is when the fakes came, so that ages print the same for hours.
var longAgo = time.Now().Add(-73 * time.Hour)

// fakeLog is a shelf's event log.
type fakeLog struct {
	mu      sync.Mutex
	entries []*v1.EventEntry
	grown   chan struct{} // closed when there is more
}

func (l *fakeLog) add(entries ...*v1.EventEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		e.Id = uint64(len(l.entries) + 1)
		l.entries = append(l.entries, e)
	}
	if l.grown != nil {
		close(l.grown)
		l.grown = nil
	}
}

func (l *fakeLog) after(id uint64) ([]*v1.EventEntry, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.grown == nil {
		l.grown = make(chan struct{})
	}
	return slices.Clone(l.entries[min(int(id), len(l.entries)):]), l.grown
}

// fakeReplica answers as it is told.
type fakeReplica struct {
	v1.UnimplementedShelfServer
	name, leader string
	term         uint64
	empty        bool // has not learnt of the shelf yet
	log          *fakeLog
	breakAfter   int // events after which a stream of followed events breaks; 0: never
	raw          func(*v1.RawRequest) (*v1.RawResponse, error)
	trace        []*v1.TraceEntry
	mu           sync.Mutex
	restored     []byte
	users        fakeUsers
}

func (r *fakeReplica) ListSlots(_ context.Context, q *v1.ListSlotsRequest) (*v1.ListSlotsResponse, error) {
	if r.empty || q.Shelf != "demo" {
		return nil, status.Errorf(codes.NotFound, "no such shelf: %q", q.Shelf)
	}
	m := &v1.ListSlotsResponse{Term: r.term, Leader: r.leader}
	for i, name := range []string{"blade1", "blade2"} {
		m.Slots = append(m.Slots, &v1.Slot{
			Slot: uint32(i + 1), Address: uint32(0x82 + 2*i), Name: name, Profile: "atca", Presence: v1.PresenceState_PRESENCE_STATE_PRESENT,
			Since: longAgo.UnixNano(), Instance: make([]byte, 16), Boot: 3, Epoch: 5, DeviceId: []byte{0x20, 1, 0},
		})
	}
	return m, nil
}

func (r *fakeReplica) ListEvents(q *v1.ListEventsRequest, stream v1.Shelf_ListEventsServer) error {
	for sent := 0; ; {
		entries, grown := r.log.after(q.After)
		for _, e := range entries {
			q.After = e.Id
			if q.Address != 0 && q.Address != e.Source {
				continue
			}
			if err := stream.Send(&v1.ListEventsResponse{Events: []*v1.EventEntry{e}}); err != nil {
				return err
			}
			if sent++; q.Follow && sent == r.breakAfter {
				return status.Error(codes.Unavailable, "going down")
			}
		}
		if !q.Follow {
			return nil
		}
		select {
		case <-grown:
		case <-stream.Context().Done():
			return nil
		}
	}
}

func (r *fakeReplica) Raw(_ context.Context, q *v1.RawRequest) (*v1.RawResponse, error) {
	if r.raw == nil {
		return nil, status.Error(codes.NotFound, "completion code 0xd3: destination unavailable")
	}
	return r.raw(q)
}

func (r *fakeReplica) Trace(_ *v1.TraceRequest, stream v1.Shelf_TraceServer) error {
	return playTrace(r.trace, stream)
}

// traceSender is a stream of trace responses.
type traceSender interface {
	Context() context.Context
	Send(*v1.TraceResponse) error
}

func playTrace(entries []*v1.TraceEntry, stream traceSender) error {
	if err := stream.Send(&v1.TraceResponse{Entries: entries}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// fakeCluster is the same replica's other service.
type fakeCluster struct {
	v1.UnimplementedClusterServer
	*fakeReplica
}

func (c fakeCluster) Status(context.Context, *v1.ClusterStatusRequest) (*v1.ClusterStatusResponse, error) {
	m := &v1.ClusterStatusResponse{
		Cluster: "c0ffee", Replica: c.name, Term: c.term, Leader: c.leader, LastIndex: 100, CommitIndex: 100, AppliedIndex: 100, Shelves: []string{"demo"},
	}
	for _, name := range []string{"shm1", "shm2", "shm3"} {
		m.Members = append(m.Members, &v1.Member{
			Name: name, Address: "127.0.0.1:700" + name[3:], Voter: name != "shm3", Leader: name == c.leader, Reachable: name != "shm3",
			LastIndex: 100, CommitIndex: 100, AppliedIndex: 100,
		})
	}
	return m, nil
}

func (c fakeCluster) Backup(_ *v1.BackupRequest, stream v1.Cluster_BackupServer) error {
	for _, part := range []string{"the whole ", "state of " + c.name} {
		if err := stream.Send(&v1.BackupResponse{Data: []byte(part)}); err != nil {
			return err
		}
	}
	return nil
}

func (c fakeCluster) Restore(stream v1.Cluster_RestoreServer) error {
	var all []byte
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		all = append(all, m.Data...)
	}
	if len(all) > 0 && all[0] == 'x' {
		return status.Error(codes.InvalidArgument, "this is not a shelf backup")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.restored = all
	return stream.SendAndClose(&v1.RestoreResponse{})
}

// fakeNode answers as it is told.
type fakeNode struct {
	v1.UnimplementedNodeServer
	status *v1.NodeStatusResponse
	sel    [][]byte // records
	trace  []*v1.TraceEntry
	exec   func(context.Context, *v1.ExecRequest) (out, mistake string, code, signal int32, err error)
	mu     sync.Mutex
	files  map[string][]byte
	modes  map[string]uint32
	faults []*v1.Fault
	users  fakeUsers
}

func newFakeNode(l *lab.Lab, name string) *fakeNode {
	n, _ := l.Topology.Node(name)
	return &fakeNode{files: map[string][]byte{}, modes: map[string]uint32{}, status: &v1.NodeStatusResponse{
		Name: name, Shelf: l.Name, Address: uint32(n.Addr()), SystemInterface: n.Interface, Profile: n.Profile, VmState: "running",
		VmLink: true, Instance: make([]byte, 16), Boot: 3, Version: "v0.0.0", SystemGuid: make([]byte, 16),
		CommandLine: []string{"qemu-system-x86_64", "-name", name, "-append", "console=ttyS0 quiet"},
		Uplinks: []*v1.UplinkStatus{
			{Replica: "shm1", Address: "127.0.0.1:7001", Plane: v1.Plane_PLANE_A, Connected: true},
			{Replica: "shm2", Address: "127.0.0.1:7002", Plane: v1.Plane_PLANE_B, Connected: true, Leader: true},
		},
	}}
}

func (n *fakeNode) Status(context.Context, *v1.NodeStatusRequest) (*v1.NodeStatusResponse, error) {
	return n.status, nil
}

// Raw knows Get Device ID and Get SEL Entry.
func (n *fakeNode) Raw(_ context.Context, q *v1.RawRequest) (*v1.RawResponse, error) {
	switch {
	case q.NetFn == 0x06 && q.Command == 0x01:
		return &v1.RawResponse{CompletionText: "command completed normally", Data: []byte{0x20, 0x01, 0x00}}, nil
	case q.NetFn == 0x0A && q.Command == 0x43:
		id := int(q.Data[2]) | int(q.Data[3])<<8
		i := max(id, 1) - 1
		if i >= len(n.sel) {
			return &v1.RawResponse{CompletionCode: 0xCB, CompletionText: "sensor, data or record not present"}, nil
		}
		next := []byte{byte(i + 2), 0}
		if i == len(n.sel)-1 {
			next = []byte{0xFF, 0xFF}
		}
		return &v1.RawResponse{Data: append(next, n.sel[i]...)}, nil
	}
	return &v1.RawResponse{CompletionCode: 0xC1, CompletionText: "invalid command"}, nil
}

func (n *fakeNode) Trace(_ *v1.TraceRequest, stream v1.Node_TraceServer) error {
	return playTrace(n.trace, stream)
}

// Console prints a greeting, and everything it is told in brackets.
func (n *fakeNode) Console(stream v1.Node_ConsoleServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if n.status.VmState == "none" {
		return status.Error(codes.FailedPrecondition, "this node does not start a VM")
	}
	greeting := "watching"
	if first.Write {
		greeting = "login: "
	}
	err = stream.Send(&v1.ConsoleResponse{Data: []byte(greeting)})
	for err == nil {
		m, recvErr := stream.Recv()
		if recvErr != nil {
			return nil
		}
		err = stream.Send(&v1.ConsoleResponse{Data: []byte("[" + string(m.Data) + "]")})
		if string(m.Data) == "exit" {
			return err
		}
	}
	return err
}

func (n *fakeNode) Exec(q *v1.ExecRequest, stream v1.Node_ExecServer) error {
	out, mistake, code, signal, err := n.exec(stream.Context(), q)
	if err != nil {
		return err
	}
	if err := stream.Send(&v1.ExecResponse{Stdout: []byte(out), Stderr: []byte(mistake)}); err != nil {
		return err
	}
	return stream.Send(&v1.ExecResponse{Exited: true, ExitCode: code, Signal: signal})
}

func (n *fakeNode) CopyTo(stream v1.Node_CopyToServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	all := slices.Clone(first.Data)
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		all = append(all, m.Data...)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.files[first.Path], n.modes[first.Path] = all, first.Mode
	return stream.SendAndClose(&v1.CopyToResponse{Size: uint64(len(all))})
}

func (n *fakeNode) CopyFrom(q *v1.CopyFromRequest, stream v1.Node_CopyFromServer) error {
	n.mu.Lock()
	data, ok := n.files[q.Path]
	n.mu.Unlock()
	if !ok {
		return status.Errorf(codes.NotFound, "%s in the guest: no such file", q.Path)
	}
	for chunk := range slices.Chunk(data, 1000) {
		if err := stream.Send(&v1.CopyFromResponse{Data: chunk}); err != nil {
			return err
		}
	}
	return nil
}
