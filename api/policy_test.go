package api

import (
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/internal/authz"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Every method that is served has a rule, and every rule a method.
func TestPoliciesCoverTheirServers(t *testing.T) {
	atNode, atReplica := grpc.NewServer(), grpc.NewServer()
	RegisterNode(atNode, nil)
	RegisterReplica(atReplica, nil)
	for name, c := range map[string]struct {
		policy authz.Policy
		server *grpc.Server
	}{"node": {NodePolicy, atNode}, "replica": {ReplicaPolicy, atReplica}} {
		if m := c.policy.Uncovered(c.server.GetServiceInfo()); len(m) > 0 {
			t.Errorf("%s: no rule for %v", name, m)
		}
		if m := c.policy.Unknown(c.server.GetServiceInfo()); len(m) > 0 {
			t.Errorf("%s: rules for methods that are not there: %v", name, m)
		}
	}
}

func TestRawRequestThatFitsNothing(t *testing.T) {
	for name, r := range map[string]*v1.RawRequest{
		"odd network function": {NetFn: 7},
		"network function":     {NetFn: 0x40},
		"command":              {NetFn: 6, Command: 0x100},
		"LUN":                  {NetFn: 6, Lun: 4},
		"data":                 {NetFn: 6, Data: make([]byte, 400)},
	} {
		if _, err := rawRequest(r); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	req, err := rawRequest(&v1.RawRequest{NetFn: 6, Lun: 2, Command: 1, Data: []byte{9}})
	if err != nil || req.NetFn != 6 || req.LUN != 2 || req.Cmd != 1 || len(req.Data) != 1 {
		t.Errorf("got %+v, %v", req, err)
	}
}
