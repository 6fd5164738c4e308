package authz

import (
	"context"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/internal/trust"
)

func TestCheck(t *testing.T) {
	policy := Policy{
		"/s/Public": Anyone,
		"/s/View":   Viewers,
		"/s/Act":    Operators,
		"/s/Admin":  Admins,
		"/s/Attach": Only(trust.Node),
		"/s/Both":   Admins.Or(trust.Replica),
		"/s/Closed": {},
	}
	const nobody = trust.Role(0)
	all := []trust.Role{nobody, trust.Viewer, trust.Operator, trust.Admin, trust.Node, trust.Replica}
	for method, may := range map[string][]trust.Role{
		"/s/Public":  all,
		"/s/View":    {trust.Viewer, trust.Operator, trust.Admin},
		"/s/Act":     {trust.Operator, trust.Admin},
		"/s/Admin":   {trust.Admin},
		"/s/Attach":  {trust.Node},
		"/s/Both":    {trust.Admin, trust.Replica},
		"/s/Closed":  nil,
		"/s/Unruled": nil,
	} {
		for _, role := range all {
			want := codes.PermissionDenied
			if role == nobody {
				want = codes.Unauthenticated
			}
			if slices.Contains(may, role) {
				want = codes.OK
			}
			ctx := trust.WithIdentity(t.Context(), trust.Identity{Role: role})
			if got := status.Code(policy.Check(ctx, method)); got != want {
				t.Errorf("%s as %s: %v, want %v", method, role, got, want)
			}
		}
	}
	if Admins.anyone || len(Admins.roles) != 1 {
		t.Error("Or changed the rule that it began with")
	}
}

type stream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s stream) Context() context.Context { return s.ctx }

func TestInterceptorsStopTheCall(t *testing.T) {
	policy := Policy{"/s/M": Admins}
	for role, want := range map[trust.Role]codes.Code{trust.Admin: codes.OK, trust.Viewer: codes.PermissionDenied} {
		ctx := trust.WithIdentity(t.Context(), trust.Identity{Role: role})
		calls := 0
		_, err := policy.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: "/s/M"}, func(context.Context, any) (any, error) {
			calls++
			return nil, nil
		})
		streamErr := policy.Stream(nil, stream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: "/s/M"}, func(any, grpc.ServerStream) error {
			calls++
			return nil
		})
		if status.Code(err) != want || status.Code(streamErr) != want || (calls == 2) != (want == codes.OK) || calls == 1 {
			t.Errorf("%s: %v, %v, %d calls", role, err, streamErr, calls)
		}
	}
}

func TestUncoveredAndUnknown(t *testing.T) {
	s := grpc.NewServer()
	healthpb.RegisterHealthServer(s, health.NewServer())
	reflection.Register(s)
	policy := Policy{"/grpc.health.v1.Health/Check": Anyone, "/grpc.health.v1.Health/Chekc": Anyone}
	want := []string{
		"/grpc.health.v1.Health/List",
		"/grpc.health.v1.Health/Watch",
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
	}
	if got := policy.Uncovered(s.GetServiceInfo()); !slices.Equal(got, want) {
		t.Errorf("Uncovered = %v, want %v", got, want)
	}
	if got := policy.Unknown(s.GetServiceInfo()); !slices.Equal(got, []string{"/grpc.health.v1.Health/Chekc"}) {
		t.Errorf("Unknown = %v", got)
	}
	for _, m := range want {
		policy[m] = Viewers
	}
	if got := policy.Uncovered(s.GetServiceInfo()); got != nil {
		t.Errorf("Uncovered = %v, want none", got)
	}
}
