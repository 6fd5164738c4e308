package shelf

import (
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/internal/trust"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// The bus has something for nodes and something for replicas, each for them
// alone, and nothing for people.
func TestBusPolicy(t *testing.T) {
	may := map[string]trust.Role{
		v1.Backplane_Attach_FullMethodName:       trust.Node,
		v1.Backplane_ServeConsole_FullMethodName: trust.Node,
		v1.Backplane_Relay_FullMethodName:        trust.Replica,
		v1.Backplane_Join_FullMethodName:         trust.Replica,
		v1.Backplane_Status_FullMethodName:       trust.Replica,
	}
	desc := v1.Backplane_ServiceDesc
	var methods []string
	for _, m := range desc.Methods {
		methods = append(methods, m.MethodName)
	}
	for _, s := range desc.Streams {
		methods = append(methods, s.StreamName)
	}
	for _, name := range methods {
		method := "/" + desc.ServiceName + "/" + name
		if _, known := may[method]; !known {
			t.Errorf("who may call %s?", method)
		}
		for _, role := range []trust.Role{trust.Viewer, trust.Operator, trust.Admin, trust.Node, trust.Replica} {
			want := codes.PermissionDenied
			if role == may[method] {
				want = codes.OK
			}
			ctx := trust.WithIdentity(t.Context(), trust.Identity{Role: role})
			if got := status.Code(busPolicy.Check(ctx, method)); got != want {
				t.Errorf("%s as %s: %v, want %v", method, role, got, want)
			}
		}
		if got := status.Code(busPolicy.Check(t.Context(), method)); got != codes.Unauthenticated {
			t.Errorf("%s without a certificate: %v", method, got)
		}
	}
	if len(methods) != len(may) || slices.Contains(methods, "") {
		t.Errorf("methods: %v", methods)
	}
}
