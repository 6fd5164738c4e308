package backplane

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/midplane-project/midplane/internal/link"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

func ackOf(request, last uint64) *v1.RelayResponse {
	return &v1.RelayResponse{Kind: &v1.RelayResponse_EventAck{EventAck: &v1.RelayEventAck{
		Shelf: "lab", HardwareAddress: hw1, Request: request, Ack: &v1.EventAck{Last: last},
	}}}
}

// A late answer to a run that was given up is not taken for that of the next.
func TestLateAckIsNotTakenForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{pending: make(map[uint64]chan *v1.RelayResponse)}
		p.link.Store(link.New[v1.RelayRequest, v1.RelayResponse](nil, link.RelayCaller, func(func()) {}))
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if a := p.logEvents(over, &v1.RelayEvents{Shelf: "lab", HardwareAddress: hw1}); a != nil {
			t.Fatalf("answered by nobody: %v", a)
		}
		got := make(chan *v1.EventAck, 1)
		go func() { got <- p.logEvents(t.Context(), &v1.RelayEvents{Shelf: "lab", HardwareAddress: hw1}) }()
		synctest.Wait()
		for _, m := range []*v1.RelayResponse{ackOf(1, 99), ackOf(0, 98), ackOf(2, 7)} {
			if err := p.handle(m); err != nil {
				t.Fatal(err)
			}
		}
		if a := <-got; a.GetLast() != 7 {
			t.Errorf("answer %v", a)
		}
	})
}
