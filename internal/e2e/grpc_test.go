//go:build e2e

package e2e_test

import (
	"encoding/json"
	"slices"
	"testing"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
)

// TestReflection asks the daemons for their services, as grpcurl does.
func TestReflection(t *testing.T) {
	s := bare.up(t)
	admin, err := s.AdminCredentials()
	if err != nil {
		t.Fatal(err)
	}
	replica := s.ReplicaAPIs()[0]
	overTLS, err := replica.DialTLS(admin)
	if err != nil {
		t.Fatal(err)
	}
	overUnix, err := replica.Dial()
	if err != nil {
		t.Fatal(err)
	}
	node, err := s.NodeAPI("fore").Dial()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		conn *grpc.ClientConn
		want []string
	}{
		{"replica over TLS", overTLS, []string{"midplane.v1.Shelf", "midplane.v1.Cluster"}},
		{"replica over its Unix socket", overUnix, []string{"midplane.v1.Shelf", "midplane.v1.Cluster"}},
		{"node over its Unix socket", node, []string{"midplane.v1.Node"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer tt.conn.Close()
			names := services(t, tt.conn)
			for _, want := range append(tt.want, "grpc.health.v1.Health") {
				if !slices.Contains(names, want) {
					t.Errorf("%s is not among %v", want, names)
				}
			}
			h, err := healthpb.NewHealthClient(tt.conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
			if err != nil || h.Status != healthpb.HealthCheckResponse_SERVING {
				t.Errorf("health: %v, %v", h, err)
			}
		})
	}
}

// services lists what a server serves.
func services(t *testing.T, conn *grpc.ClientConn) (names []string) {
	t.Helper()
	stream, err := reflectpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_ListServices{}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	return names
}

// TestOutputFormats reads what programs read.
func TestOutputFormats(t *testing.T) {
	s := bare.up(t)
	for _, args := range [][]string{
		{"ps"}, {"inspect", "fore"}, {"inspect", "shelf"}, {"cluster"}, {"events"}, {"sel"}, {"sel", "fore"}, {"ls"}, {"raw", "fore", "6", "1"},
	} {
		out := s.do(t, append([]string{"-o", "json"}, args...)...)
		if !json.Valid([]byte(out)) {
			t.Errorf("%v -o json: %s", args, out)
		}
		if out := s.do(t, append([]string{"-o", "yaml"}, args...)...); out == "" || json.Valid([]byte(out)) && out[0] == '{' {
			t.Errorf("%v -o yaml: %s", args, out)
		}
	}
}
