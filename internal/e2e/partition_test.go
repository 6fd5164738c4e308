//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// TestHosts does to a host what may happen to it.
func TestHosts(t *testing.T) {
	h := newHosts(t)
	h.start(t)
	apis := []*grpc.ClientConn{nil, h.api(t, 1), h.api(t, 2), h.api(t, 3)}
	t.Run("partition", func(t *testing.T) { h.partition(t, apis) })
	t.Run("virtual address", func(t *testing.T) { h.virtualAddress(t, apis) })
}

// partition takes the leader's cable out. It can neither answer nor write, nor does
// it keep the LAN door's address; the others go on, and it follows them when the
// cable is back.
func (h *hosts) partition(t *testing.T, apis []*grpc.ClientConn) {
	old, term := leading(t, apis, 1, 2, 3)
	eventually(t, patience, "all replicas vote", func() error {
		s, err := v1.NewClusterClient(apis[old]).Status(t.Context(), &v1.ClusterStatusRequest{})
		if err == nil && (len(s.Members) != 3 || slices.ContainsFunc(s.Members, func(m *v1.Member) bool { return !m.Voter })) {
			err = fmt.Errorf("%v", s.Members)
		}
		return err
	})
	eventually(t, patience, "the shelf is declared", func() error {
		_, err := ask(t, apis[old], 5*time.Second, 6, 1)
		return err
	})
	if err := add(t, apis[old], patience, 1); err != nil {
		t.Fatal(err)
	}
	h.held(t, old)

	h.unplug(t, old)
	if err := add(t, apis[old], 5*time.Second, 2); err == nil {
		t.Error("the leader without its cable acknowledged a write")
	}
	rest := slices.DeleteFunc([]int{1, 2, 3}, func(i int) bool { return i == old })
	now, higher := leading(t, apis, rest...)
	if higher <= term {
		t.Errorf("%s leads in term %d after %d", name(now), higher, term)
	}
	if r, err := ask(t, apis[now], patience, 6, 1); err != nil || r.CompletionCode != 0 {
		t.Errorf("the majority does not answer: %v, %v", r, err)
	}
	if err := add(t, apis[now], patience, 3); err != nil {
		t.Errorf("the majority does not write: %v", err)
	}
	if r, err := ask(t, apis[old], 3*time.Second, 6, 1); err == nil && r.CompletionCode == 0 {
		t.Errorf("the old leader, without its cable, answered a read: %v", r)
	}

	h.held(t, now)
	h.plug(t, old)
	var want []*v1.EventEntry
	eventually(t, patience, "the old leader has what the others have", func() (err error) {
		if want, err = events(t, apis[now]); err != nil { // again each time: controllers may tell of the cable
			return err
		}
		got, err := events(t, apis[old])
		if err != nil {
			return err
		}
		if len(got) != len(want) || !slices.EqualFunc(got, want, func(a, b *v1.EventEntry) bool { return proto.Equal(a, b) }) {
			return fmt.Errorf("%v, want %v", got, want)
		}
		return nil
	})
	serials := map[uint32]int{}
	for _, e := range want {
		if _, serial, ok := oem(e.Record); ok {
			serials[serial]++
		}
	}
	if serials[1] != 1 || serials[2] != 0 || serials[3] != 1 {
		t.Errorf("in the log are these serial numbers, so often: %v", serials)
	}
}

// ask sends a request to 0x20 through one replica.
func ask(t *testing.T, conn *grpc.ClientConn, limit time.Duration, netFn, cmd uint32, data ...byte) (*v1.RawResponse, error) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return v1.NewShelfClient(conn).Raw(ctx, &v1.RawRequest{
		Shelf: "far", Address: uint32(ipmb.AddrShelfManager), NetFn: netFn, Command: cmd, Data: data,
	})
}

// add adds a record with a serial number to the SEL at 0x20.
func add(t *testing.T, conn *grpc.ClientConn, limit time.Duration, serial byte) error {
	r, err := ask(t, conn, limit, 0x0a, 0x44, 0, 0, 0xe0, 'M', 'P', 0, 0, 0, 1, 0, 0, 0, serial, 0, 0, 0)
	if err == nil && r.CompletionCode != 0 {
		err = errors.New(r.CompletionText)
	}
	return err
}

// leading is the host whose replica leads, as most of these hosts say.
func leading(t *testing.T, apis []*grpc.ClientConn, of ...int) (leader int, term uint64) {
	t.Helper()
	eventually(t, patience, "there is a leader", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for _, i := range of {
			s, err := v1.NewClusterClient(apis[i]).Status(ctx, &v1.ClusterStatusRequest{})
			if err != nil {
				return err
			}
			if s.Leader == s.Replica {
				leader, term = i, s.Term
				return nil
			}
		}
		return errors.New("nobody leads")
	})
	return leader, term
}

// events reads the log as one replica has it.
func events(t *testing.T, conn *grpc.ClientConn) (all []*v1.EventEntry, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stream, err := v1.NewShelfClient(conn).ListEvents(ctx, &v1.ListEventsRequest{Shelf: "far"})
	if err != nil {
		return nil, err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, m.Events...)
	}
}
