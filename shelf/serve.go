package shelf

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/midplane-project/midplane/internal/authz"
	"github.com/midplane-project/midplane/internal/port"
	"github.com/midplane-project/midplane/internal/trust"
	"github.com/midplane-project/midplane/internal/version"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/backplane"
)

// Limits of the servers.
const (
	handshakePatience = 5 * time.Second
	maxMessage        = 4 << 20
)

// busPolicy says who may call what on the bus.
var busPolicy = authz.Policy{
	v1.Backplane_Attach_FullMethodName:       authz.Only(trust.Node),
	v1.Backplane_Relay_FullMethodName:        authz.Only(trust.Replica),
	v1.Backplane_Join_FullMethodName:         authz.Only(trust.Replica),
	v1.Backplane_Status_FullMethodName:       authz.Only(trust.Replica),
	v1.Backplane_ServeConsole_FullMethodName: authz.Only(trust.Node),
}

func (r *Replica) openSwitch() {
	r.brain = newBrain(r)
	r.sw = backplane.New(backplane.Config{
		Replica: r.cfg.Name, Cluster: r.cluster.ClusterID, Version: version.Get(),
		Replicas: r.replicas,
		Dial:     r.wires.bus,
		Identity: r.wires.identity, Leader: r.leader, Brain: r.brain, Slot: r.slot,
		Logger: r.log, Tap: r.tap,
	})
}

// replicas lists the members of the cluster with their addresses.
func (r *Replica) replicas() (out []*v1.ReplicaAddress) {
	members, err := r.cluster.Members()
	if err != nil {
		return nil
	}
	for _, m := range members {
		out = append(out, &v1.ReplicaAddress{Name: m.ID, Address: m.Address})
	}
	return out
}

// reachable tells how many members have a vote, and to how many of them there
// is a stream, this one included.
func (r *Replica) reachable() (voters, reachable int) {
	members, err := r.cluster.Members()
	if err != nil {
		return 0, 0
	}
	for _, m := range members {
		if !m.Voter {
			continue
		}
		voters++
		if m.ID == r.cfg.Name || r.sw.Connected(m.ID) {
			reachable++
		}
	}
	return voters, reachable
}

// slot is the replicated state of a claim, as the switch wants it.
func (r *Replica) slot(shelf string, hw uint8) backplane.Slot {
	s, ok := r.fsm.Slot(shelf, hw)
	if !ok {
		return backplane.Slot{}
	}
	out := backplane.Slot{Held: s.Held, Boot: s.Boot, Epoch: s.Epoch, Name: s.Name}
	copy(out.Instance[:], s.Instance)
	if s.ContactLost {
		out.LostSince = time.Unix(0, s.Since)
	}
	return out
}

func (r *Replica) serveBus(b v1.BackplaneServer, ln net.Listener) (stop func()) {
	s := grpc.NewServer(append(append(busPolicy.ServerOptions(), port.BusServer()...),
		grpc.Creds(port.Credentials()), grpc.ConnectionTimeout(handshakePatience), grpc.MaxRecvMsgSize(maxMessage),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Second, Timeout: 2 * time.Second}))...)
	v1.RegisterBackplaneServer(s, b)
	return r.serve(s, ln)
}

// serveAPI serves people and programs on the shared port, and on a Unix socket
// where the kernel says who calls.
func (r *Replica) serveAPI(opt Options) error {
	if opt.Serve == nil {
		return nil
	}
	opts, register := opt.Serve(r)
	s := grpc.NewServer(append(opts,
		grpc.Creds(port.Credentials()), grpc.ConnectionTimeout(handshakePatience), grpc.MaxRecvMsgSize(maxMessage))...)
	register(s)
	if ln := r.wires.apiPort; ln != nil {
		r.stops = append(r.stops, r.serve(s, ln))
	}
	if r.cfg.API == "" {
		return nil
	}
	path, ok := strings.CutPrefix(r.cfg.API, "unix:")
	if !ok {
		return fmt.Errorf("api: %q is not unix:PATH", r.cfg.API)
	}
	unix, err := port.ListenUnix(path, 0o600, "")
	if err != nil {
		return err
	}
	r.stops = append(r.stops, r.serve(s, unix))
	return nil
}

// serve answers on ln; stop ends the server, wherever it serves.
func (r *Replica) serve(s *grpc.Server, ln net.Listener) (stop func()) {
	r.group.Go(func() {
		if err := s.Serve(ln); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, grpc.ErrServerStopped) {
			r.fail(fmt.Errorf("serve on %s: %w", ln.Addr(), err))
		}
	})
	return s.Stop
}

func (r *Replica) fail(err error) {
	select {
	case r.ended <- err:
	default:
	}
}
