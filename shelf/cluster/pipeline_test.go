package cluster

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestPipelineEndsWithARefusal has a peer refuse entries while more are on their way:
// whoever sends is told that there is an end, though nobody takes the answers any more.
func TestPipelineEndsWithARefusal(t *testing.T) {
	open := func(id string) (raft.Transport, raft.ServerAddress) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		cfg := Config{
			NodeID: id, Address: ln.Addr().String(), Listener: ln, Profile: LAN, Logger: slog.New(slog.DiscardHandler),
			Dial: func(ctx context.Context, to string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", to)
			},
		}
		s := newStreamLayer(cfg, "cluster")
		trans := newTransport(cfg, s)
		t.Cleanup(func() {
			s.cut()
			if err := trans.(interface{ Close() error }).Close(); err != nil {
				t.Error(err)
			}
		})
		return trans, raft.ServerAddress(cfg.Address)
	}
	leader, _ := open("shm1")
	peer, at := open("shm2")
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		for {
			select {
			case rpc := <-peer.Consumer():
				rpc.Respond(&raft.AppendEntriesResponse{Term: 1}, nil)
			case <-stop:
				return
			}
		}
	}()
	for range 20 {
		p, err := leader.AppendEntriesPipeline("shm2", at)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			var err error
			for err == nil {
				_, err = p.AppendEntries(&raft.AppendEntriesRequest{Term: 1}, new(raft.AppendEntriesResponse))
			}
		}()
		if f := <-p.Consumer(); f.Error() != nil || f.Response().Success {
			t.Fatalf("%+v, %v", f.Response(), f.Error())
		}
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Fatal("the sender waits for ever")
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
