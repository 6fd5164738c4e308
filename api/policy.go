package api

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/midplane-project/midplane/internal/authz"
	"github.com/midplane-project/midplane/internal/trust"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// common are the rules of every server: health and reflection give nothing
// away that the published protocol does not.
var common = authz.Policy{
	healthpb.Health_Check_FullMethodName:                             authz.Anyone,
	healthpb.Health_List_FullMethodName:                              authz.Anyone,
	healthpb.Health_Watch_FullMethodName:                             authz.Anyone,
	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      authz.Anyone,
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": authz.Anyone,
}

// NodePolicy says who may call what at a node.
var NodePolicy = with(common, authz.Policy{
	v1.Node_Status_FullMethodName:      authz.Viewers,
	v1.Node_Trace_FullMethodName:       authz.Operators, // it shows what guests say
	v1.Node_Raw_FullMethodName:         authz.Admins,
	v1.Node_Console_FullMethodName:     authz.Operators,
	v1.Node_Exec_FullMethodName:        authz.Admins,
	v1.Node_CopyTo_FullMethodName:      authz.Admins,
	v1.Node_CopyFrom_FullMethodName:    authz.Admins,
	v1.Node_Power_FullMethodName:       authz.Operators,
	v1.Node_InjectFault_FullMethodName: authz.Operators,
	v1.Node_ListFaults_FullMethodName:  authz.Viewers,
	v1.Node_HealFault_FullMethodName:   authz.Operators,
	v1.Users_List_FullMethodName:       authz.Operators, // as the command is for operators
	v1.Users_Add_FullMethodName:        authz.Admins,
	v1.Users_Change_FullMethodName:     authz.Admins,
	v1.Users_Remove_FullMethodName:     authz.Admins,
})

// ReplicaPolicy says who may call what at a replica. What only the leader can
// do is passed on to it by the others, who have checked their caller.
var ReplicaPolicy = with(common, authz.Policy{
	v1.Shelf_Raw_FullMethodName:                  authz.Admins.Or(trust.Replica),
	v1.Shelf_ListSlots_FullMethodName:            authz.Viewers,
	v1.Shelf_ListEvents_FullMethodName:           authz.Viewers,
	v1.Shelf_Trace_FullMethodName:                authz.Operators,
	v1.Cluster_Status_FullMethodName:             authz.Viewers.Or(trust.Replica),
	v1.Cluster_TransferLeadership_FullMethodName: authz.Admins.Or(trust.Replica),
	v1.Cluster_RemoveReplica_FullMethodName:      authz.Admins.Or(trust.Replica),
	v1.Cluster_Backup_FullMethodName:             authz.Admins,
	v1.Cluster_Restore_FullMethodName:            authz.Admins,
	v1.Users_List_FullMethodName:                 authz.Operators.Or(trust.Replica),
	v1.Users_Add_FullMethodName:                  authz.Admins.Or(trust.Replica),
	v1.Users_Change_FullMethodName:               authz.Admins.Or(trust.Replica),
	v1.Users_Remove_FullMethodName:               authz.Admins.Or(trust.Replica),
})

func with(a, b authz.Policy) authz.Policy {
	out := make(authz.Policy, len(a)+len(b))
	for _, p := range []authz.Policy{a, b} {
		for method, rule := range p {
			out[method] = rule
		}
	}
	return out
}

// addCommon registers health and reflection.
func addCommon(s *grpc.Server) {
	healthpb.RegisterHealthServer(s, health.NewServer())
	reflection.Register(s)
}

// isReplica reports whether another replica calls.
func isReplica(ctx context.Context) bool {
	id, ok := trust.FromContext(ctx)
	return ok && id.Role == trust.Replica
}
