package api

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf"
	"github.com/midplane-project/midplane/shelf/state"
)

// eventBatch bounds the events of one message.
const eventBatch = 256

// ShelfServer serves the shelves at one replica.
type ShelfServer struct {
	v1.UnimplementedShelfServer
	replica *shelf.Replica
}

// RegisterReplica adds a replica's services to s, which must enforce [ReplicaPolicy].
func RegisterReplica(s *grpc.Server, r *shelf.Replica) {
	v1.RegisterShelfServer(s, &ShelfServer{replica: r})
	v1.RegisterClusterServer(s, &ClusterServer{replica: r})
	registerShelfUsers(s, r)
	addCommon(s)
}

// shelfError is rpcError for what a replica answers.
func shelfError(err error) error {
	switch {
	case errors.Is(err, shelf.ErrNoLeader):
		return status.Error(codes.Unavailable, err.Error())
	case errors.Is(err, shelf.ErrUnknownShelf):
		return status.Error(codes.NotFound, err.Error())
	}
	return rpcError(err)
}

// atLeader asks the leader's own API, if that is another replica.
func atLeader[Rs any](r *shelf.Replica, there func(*grpc.ClientConn) (Rs, error), here func() (Rs, error)) (Rs, error) {
	cc, err := r.DialLeader()
	if err != nil {
		var none Rs
		return none, shelfError(err)
	}
	if cc == nil {
		return here()
	}
	defer cc.Close()
	return there(cc)
}

// Raw implements v1.ShelfServer.
func (s *ShelfServer) Raw(ctx context.Context, r *v1.RawRequest) (*v1.RawResponse, error) {
	req, err := rawRequest(r)
	if err != nil {
		return nil, err
	}
	to := ipmb.Addr(r.Address)
	if r.Address > 0xFF || !to.Valid() {
		return nil, status.Errorf(codes.InvalidArgument, "IPMB address 0x%x: want an even number from 0x02 to 0xfe", r.Address)
	}
	name, err := s.replica.ShelfName(r.Shelf)
	if err != nil {
		return nil, shelfError(err)
	}
	return atLeader(s.replica,
		func(cc *grpc.ClientConn) (*v1.RawResponse, error) { return v1.NewShelfClient(cc).Raw(ctx, r) },
		func() (*v1.RawResponse, error) {
			answer, err := s.replica.Raw(ctx, name, to, req)
			if err != nil {
				return nil, shelfError(err)
			}
			return rawResponse(answer), nil
		})
}

// ListSlots implements v1.ShelfServer: what is declared, what claimed it, and
// whether it is there now.
func (s *ShelfServer) ListSlots(_ context.Context, r *v1.ListSlotsRequest) (*v1.ListSlotsResponse, error) {
	name, err := s.replica.ShelfName(r.Shelf)
	if err != nil {
		return nil, shelfError(err)
	}
	presence := make(map[ipmb.Addr]*v1.Presence)
	for _, p := range s.replica.Presence(name) {
		presence[ipmb.Addr(p.Address)] = p
	}
	claimed := make(map[uint8]state.Slot)
	for _, sl := range s.replica.State().Slots(name) {
		claimed[sl.HW] = sl
	}
	leader, _ := s.replica.Cluster().Leader()
	out := &v1.ListSlotsResponse{Term: leader.Term, Leader: leader.ID}
	declared, _ := s.replica.State().Shelf(name)
	for i, hw := range declared.HW {
		if sl, ok := claimed[hw]; ok {
			out.Slots = append(out.Slots, slotMessage(sl, presence))
			delete(claimed, hw)
			continue
		}
		a := ipmb.AddrFromHW(hw)
		out.Slots = append(out.Slots, &v1.Slot{
			Slot: uint32(a.Slot()), Address: uint32(a), Name: declared.SlotNames[i], Presence: v1.PresenceState_PRESENCE_STATE_ABSENT,
		})
	}
	for _, sl := range s.replica.State().Slots(name) {
		if _, undeclared := claimed[sl.HW]; undeclared {
			out.Slots = append(out.Slots, slotMessage(sl, presence))
		}
	}
	return out, nil
}

func slotMessage(sl state.Slot, presence map[ipmb.Addr]*v1.Presence) *v1.Slot {
	m := &v1.Slot{
		Slot: uint32(sl.Addr().Slot()), Address: uint32(sl.Addr()), Name: sl.Name, Profile: sl.Profile, Since: sl.Since,
		Api: sl.API, Instance: []byte(sl.Instance), Boot: sl.Boot, Epoch: sl.Epoch, DeviceId: sl.DeviceID,
		Presence: v1.PresenceState_PRESENCE_STATE_ABSENT,
	}
	if p := presence[sl.Addr()]; p != nil {
		m.Presence, m.Since = p.State, p.Since
	}
	return m
}

// ListEvents implements v1.ShelfServer.
func (s *ShelfServer) ListEvents(r *v1.ListEventsRequest, stream v1.Shelf_ListEventsServer) error {
	name, err := s.replica.ShelfName(r.Shelf)
	if err != nil {
		return shelfError(err)
	}
	fsm := s.replica.State()
	after, left := r.After, r.Limit
	for {
		changed := fsm.Watch()
		for {
			events := fsm.Log(name, after, eventBatch)
			if len(events) == 0 {
				break
			}
			after = events[len(events)-1].ID
			m, done := eventMessage(events, r.Address, r.Limit > 0, &left)
			if err := stream.Send(m); err != nil || done {
				return err
			}
		}
		if !r.Follow {
			return nil
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return nil
		}
	}
}

// eventMessage makes a message of the events that are wanted; done says that
// the limit is reached.
func eventMessage(events []state.Event, address uint32, limited bool, left *uint32) (m *v1.ListEventsResponse, done bool) {
	m = &v1.ListEventsResponse{}
	for _, e := range events {
		if address != 0 && uint32(e.Source) != address {
			continue
		}
		if limited && *left == 0 {
			return m, true
		}
		*left--
		m.Events = append(m.Events, &v1.EventEntry{
			Id: e.ID, Committed: e.Committed, OriginTime: e.Origin, Source: uint32(e.Source), Speaker: e.Speaker,
			Record: e.Record[:], SelRecord: uint32(e.SELRecord),
		})
	}
	return m, limited && *left == 0
}

// Trace implements v1.ShelfServer: what passes this replica's switch.
func (s *ShelfServer) Trace(r *v1.TraceRequest, stream v1.Shelf_TraceServer) error {
	return follow(s.replica.Watch(), r, stream)
}
