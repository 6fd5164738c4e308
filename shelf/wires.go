package shelf

import (
	"context"
	"fmt"
	"net"

	"github.com/hashicorp/raft"
	"google.golang.org/grpc"

	"github.com/midplane-project/midplane/internal/link"
	"github.com/midplane-project/midplane/internal/port"
	"github.com/midplane-project/midplane/internal/trust"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/cluster"
)

// Memory is how replicas of one process reach each other: without ports and
// certificates, so that hellos are believed.
type Memory struct {
	// Raft carries raft's messages. Its address is the replica's.
	Raft raft.Transport
	// Bus connects to the other replicas' buses by their addresses, and Serve
	// answers on this one's until stop is called.
	Bus   link.Dialer
	Serve func(v1.BackplaneServer) (stop func())
	// API connects to another replica's API by its address; nil: nobody asks.
	API func(addr string) (*grpc.ClientConn, error)
	// Profile is used in place of the configured timing, unless it is zero.
	Profile cluster.Profile
}

// wires are a replica's ways to the others, and theirs to it.
type wires struct {
	raft     func(*cluster.Config) // says how raft speaks
	bus      link.Dialer
	api      func(addr string) (*grpc.ClientConn, error)
	identity func(context.Context) (trust.Identity, bool) // nil: hellos are believed
	serveBus func(v1.BackplaneServer) (stop func())
	apiPort  net.Listener // nil: no API but on the Unix socket
	close    func() error
}

func (m *Memory) wires() *wires {
	return &wires{
		raft: func(c *cluster.Config) {
			c.Transport = m.Raft
			if m.Profile != (cluster.Profile{}) {
				c.Profile = m.Profile
			}
		},
		bus: m.Bus, api: m.API, serveBus: m.Serve,
		close: func() error { return nil },
	}
}

// openPort gives the wires of a replica with a port: one for raft, the bus and
// the API, which opens first, so that the others can ask.
func (r *Replica) openPort() (*wires, error) {
	creds, err := trust.LoadCredentials(r.cfg.PKI, "replica/"+r.cfg.Name)
	if err != nil {
		return nil, err
	}
	if r.cfg.Cluster == "" {
		r.cfg.Cluster = creds.Identity().Cluster
	}
	p, err := port.Listen(r.cfg.Listen, creds, port.WithLogger(r.log))
	if err != nil {
		return nil, err
	}
	raftPort, busPort, apiPort := p.Protocol(trust.ProtoRaft), p.Protocol(trust.ProtoBus), p.Protocol(trust.ProtoH2)
	dial := func(addr, proto string) (*grpc.ClientConn, error) {
		return grpc.NewClient("passthrough:///"+addr, append(port.BusDial(),
			grpc.WithTransportCredentials(port.DialCredentials(creds, proto, trust.Identity{Role: trust.Replica})))...)
	}
	return &wires{
		raft: func(c *cluster.Config) {
			c.Listener = raftPort
			c.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
				return port.Dial(ctx, addr, creds, trust.ProtoRaft, trust.Identity{Role: trust.Replica})
			}
		},
		bus: func(_ context.Context, addr string) (link.Conn, error) {
			cc, err := dial(addr, trust.ProtoBus)
			if err != nil {
				return nil, err
			}
			return link.OverGRPC(cc), nil
		},
		api:      func(addr string) (*grpc.ClientConn, error) { return dial(addr, trust.ProtoH2) },
		identity: trust.FromContext,
		serveBus: func(s v1.BackplaneServer) func() { return r.serveBus(s, busPort) },
		apiPort:  apiPort,
		close:    p.Close,
	}, nil
}

// openWires makes the wires that the options ask for.
func (r *Replica) openWires(opt Options) (err error) {
	if opt.Memory != nil {
		r.wires = opt.Memory.wires()
		return nil
	}
	if r.wires, err = r.openPort(); err != nil {
		return fmt.Errorf("replica %s: %w", r.cfg.Name, err)
	}
	return nil
}
