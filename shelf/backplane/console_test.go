package backplane

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/internal/trust"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// A console is taken from the node of its slot alone, though another one knows
// the call; who waits for it gets the right one later.
func TestConsoleNeedsItsNode(t *testing.T) {
	own := trust.Identity{Role: trust.Node, Shelf: "lab", Slot: 1}
	nobody := trust.Identity{}
	for name, tt := range map[string]struct {
		id    trust.Identity
		shelf string
		hw    uint32
		want  codes.Code
	}{
		"its node":                     {own, "lab", hw1, codes.OK},
		"another slot":                 {trust.Identity{Role: trust.Node, Shelf: "lab", Slot: 2}, "lab", hw1, codes.PermissionDenied},
		"another slot, as itself":      {trust.Identity{Role: trust.Node, Shelf: "lab", Slot: 2}, "lab", hw2, codes.NotFound},
		"another shelf":                {trust.Identity{Role: trust.Node, Shelf: "lab2", Slot: 1}, "lab", hw1, codes.PermissionDenied},
		"another shelf, as itself":     {trust.Identity{Role: trust.Node, Shelf: "lab2", Slot: 1}, "lab2", hw1, codes.NotFound},
		"a replica":                    {trust.Identity{Role: trust.Replica, Name: "r2"}, "lab", hw1, codes.PermissionDenied},
		"an administrator":             {trust.Identity{Role: trust.Admin, Name: "blade1"}, "lab", hw1, codes.PermissionDenied},
		"a viewer with the slot":       {trust.Identity{Role: trust.Viewer, Shelf: "lab", Slot: 1}, "lab", hw1, codes.PermissionDenied},
		"nobody":                       {nobody, "lab", hw1, codes.PermissionDenied},
		"its node for no slot at all":  {own, "lab", 0x1000 | hw1, codes.PermissionDenied},
		"its node for the other shelf": {own, "lab2", hw1, codes.PermissionDenied},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				who := own
				r := newRig(t, func(c *Config) {
					c.Identity = func(context.Context) (trust.Identity, bool) { return who, who != nobody }
				})
				h := hello(hw1, instanceA, 1)
				h.Console = true
				node, _ := r.attach(h)
				type result struct {
					console *Console
					err     error
				}
				got := make(chan result, 1)
				go func() {
					c, err := r.sw.Console(t.Context(), "lab", hw1, nil)
					got <- result{c, err}
				}()
				var call uint64
				for call == 0 { // among other news
					call = (<-node.got).GetConsole().GetCall()
				}
				who = tt.id
				if err := r.serveConsole(t, call, tt.shelf, tt.hw); status.Code(err) != tt.want {
					t.Errorf("%v, want %v", err, tt.want)
				}
				synctest.Wait()
				if tt.want != codes.OK {
					select {
					case x := <-got:
						t.Fatalf("who waits has it: %v", x)
					default:
					}
					who = own
					if err := r.serveConsole(t, call, "lab", hw1); err != nil {
						t.Error(err)
					}
				}
				x := <-got
				if x.err != nil {
					t.Fatal(x.err)
				}
				if p, _, err := x.console.Next(t.Context()); err != nil || string(p) != "login: " {
					t.Errorf("%q, %v", p, err)
				}
			})
		})
	}
}

// serveConsole brings a console that says something, and gives what becomes of
// the stream: nil where it goes on.
func (r *rig) serveConsole(t *testing.T, call uint64, shelf string, hw uint32) error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	c, err := r.net.Dialer("node")(ctx, "r1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.ServeConsole(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*v1.ServeConsoleRequest{
		{Kind: &v1.ServeConsoleRequest_Hello{Hello: &v1.ConsoleHello{Call: call, Shelf: shelf, HardwareAddress: hw, Power: true}}},
		{Kind: &v1.ServeConsoleRequest_Output{Output: &v1.ConsoleText{Data: []byte("login: ")}}},
	} {
		if err := s.Send(m); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	go func() {
		_, err := s.Recv()
		ended <- err
	}()
	synctest.Wait()
	select {
	case err := <-ended:
		return err
	default:
		return nil
	}
}
