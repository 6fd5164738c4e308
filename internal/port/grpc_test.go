package port

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/internal/authz"
	"github.com/midplane-project/midplane/internal/trust"
)

// whoHealth answers Check and remembers who asked.
type whoHealth struct {
	*health.Server
	asked chan trust.Identity
}

func (w whoHealth) Check(ctx context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	id, _ := trust.FromContext(ctx)
	w.asked <- id
	return w.Server.Check(ctx, r)
}

// serve runs a gRPC server on listeners under a policy.
func serve(t *testing.T, policy authz.Policy, listeners ...net.Listener) whoHealth {
	t.Helper()
	w := whoHealth{Server: health.NewServer(), asked: make(chan trust.Identity, 1)}
	s := grpc.NewServer(append(policy.ServerOptions(), grpc.Creds(Credentials()))...)
	healthpb.RegisterHealthServer(s, w)
	done := make(chan error)
	for _, l := range listeners {
		go func() { done <- s.Serve(l) }()
	}
	t.Cleanup(func() {
		s.Stop()
		for range listeners {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	return w
}

func check(t *testing.T, target string, creds credentials.TransportCredentials) error {
	t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	return err
}

const checkMethod = "/grpc.health.v1.Health/Check"

func TestHandlersSeeThePeer(t *testing.T) {
	_, creds := cluster(t, "c1", "replica/shm1", "replica/shm2", "node/lab/7", "admin/ann", "viewer/eve")
	p := listen(t, creds["replica/shm1"])
	policy := authz.Policy{checkMethod: authz.Admins.Or(trust.Node, trust.Replica)}
	w := serve(t, policy, p.Protocol(trust.ProtoH2), p.Protocol(trust.ProtoBus))
	for _, tc := range []struct {
		subject, proto string
		want           codes.Code
	}{
		{"node/lab/7", trust.ProtoBus, codes.OK},
		{"replica/shm2", trust.ProtoBus, codes.OK},
		{"admin/ann", trust.ProtoH2, codes.OK},
		{"viewer/eve", trust.ProtoH2, codes.PermissionDenied},
		{"admin/ann", trust.ProtoBus, codes.Unavailable},
		{"admin/ann", trust.ProtoRaft, codes.Unavailable},
	} {
		dial := DialCredentials(creds[tc.subject], tc.proto, trust.Identity{Role: trust.Replica})
		if err := check(t, p.Addr().String(), dial); status.Code(err) != tc.want {
			t.Errorf("%s on %s: %v, want %v", tc.subject, tc.proto, err, tc.want)
		}
		if tc.want == codes.OK {
			if got := <-w.asked; got != creds[tc.subject].Identity() {
				t.Errorf("the handler saw %v, want %v", got, creds[tc.subject].Identity())
			}
		}
	}
	if err := check(t, p.Addr().String(), DialCredentials(creds["admin/ann"], trust.ProtoH2, trust.Identity{Role: trust.Node})); status.Code(err) != codes.Unavailable {
		t.Errorf("a client that wants a node talked to a replica: %v", err)
	}
}

// grpc's own TLS credentials, as grpcurl uses them, work with names in the
// certificate, and without one of one's own end in a clean Unauthenticated.
func TestPlainGRPCClient(t *testing.T) {
	a, creds := cluster(t, "c1", "admin/ann")
	server := issue(t, a, "replica/shm1", trust.Options{IP: []net.IP{net.IPv4(127, 0, 0, 1)}, DNS: []string{"localhost"}})
	p := listen(t, server)
	w := serve(t, authz.Policy{checkMethod: authz.Admins}, p.Protocol(trust.ProtoH2))
	plain, err := credentials.NewClientTLSFromFile(a.Dir()+"/ca.pem", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := check(t, p.Addr().String(), plain); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a certificate: %v, want Unauthenticated", err)
	}
	config := trust.ClientTLS(creds["admin/ann"], trust.ProtoH2, trust.Identity{})
	if err := check(t, p.Addr().String(), credentials.NewTLS(config)); err != nil {
		t.Errorf("with one: %v", err)
	}
	if got := <-w.asked; got.Name != "ann" {
		t.Errorf("the handler saw %v", got)
	}
}

func TestUnixCallerIsAdmin(t *testing.T) {
	path := socketPath(t)
	l, err := ListenUnix(path, 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	w := serve(t, authz.Policy{checkMethod: authz.Admins}, l)
	if err := check(t, "unix:"+path, insecure.NewCredentials()); err != nil {
		t.Fatal(err)
	}
	if got := <-w.asked; got.Role != trust.Admin || got.Cluster != "" {
		t.Errorf("the handler saw %v", got)
	}
}

func TestServerCredentialsNeedAKnownConnection(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, _, err := Credentials().ServerHandshake(a); err == nil {
		t.Error("a pipe has a peer without identity, and was accepted")
	}
	if _, _, err := Credentials().ClientHandshake(t.Context(), "", a); err == nil {
		t.Error("a server's credentials made a client")
	}
}
