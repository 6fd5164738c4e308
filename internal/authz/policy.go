package authz

import (
	"context"
	"maps"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/internal/trust"
)

// Rule says who may call a method. The zero Rule lets nobody.
type Rule struct {
	roles  []trust.Role
	anyone bool
}

// Only lets the given roles call.
func Only(roles ...trust.Role) Rule { return Rule{roles: roles} }

// Rules for people and programs: each of these roles may do what the ones
// before it may.
var (
	Viewers   = Only(trust.Viewer, trust.Operator, trust.Admin)
	Operators = Only(trust.Operator, trust.Admin)
	Admins    = Only(trust.Admin)
	// Anyone needs no certificate: for what gives nothing away, such as health.
	Anyone = Rule{anyone: true}
)

// Or lets other roles call besides those of r.
func (r Rule) Or(roles ...trust.Role) Rule {
	return Rule{roles: slices.Concat(r.roles, roles), anyone: r.anyone}
}

// Policy has a rule for each method by its full name: "/package.Service/Method".
type Policy map[string]Rule

// Check decides on the caller that ctx carries. The error is a gRPC status:
// Unauthenticated without an identity, PermissionDenied for the wrong one.
func (p Policy) Check(ctx context.Context, method string) error {
	rule, ruled := p[method]
	if rule.anyone {
		return nil
	}
	id, ok := trust.FromContext(ctx)
	switch {
	case !ok:
		return status.Errorf(codes.Unauthenticated, "%s: show a certificate of this cluster, or call over the Unix socket as the daemon's user", method)
	case !ruled:
		return status.Errorf(codes.PermissionDenied, "%s: no rule allows this method", method)
	case !slices.Contains(rule.roles, id.Role):
		return status.Errorf(codes.PermissionDenied, "%s: not for role %s, but for %v", method, id.Role, rule.roles)
	}
	return nil
}

// Unary enforces p on unary methods.
func (p Policy) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := p.Check(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

// Stream enforces p on streaming methods, before the first message is read.
func (p Policy) Stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := p.Check(ss.Context(), info.FullMethod); err != nil {
		return err
	}
	return next(srv, ss)
}

// ServerOptions make a server enforce p on every method.
func (p Policy) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(p.Unary), grpc.ChainStreamInterceptor(p.Stream)}
}

// Uncovered lists the methods of a server (grpc.Server.GetServiceInfo) that
// have no rule and so can be called by nobody.
func (p Policy) Uncovered(services map[string]grpc.ServiceInfo) []string {
	var missing []string
	for service, info := range services {
		for _, m := range info.Methods {
			if full := "/" + service + "/" + m.Name; !p.has(full) {
				missing = append(missing, full)
			}
		}
	}
	slices.Sort(missing)
	return missing
}

// Unknown lists the rules of p for methods that none of the services has:
// renamed or misspelt ones.
func (p Policy) Unknown(services map[string]grpc.ServiceInfo) []string {
	left := maps.Clone(p)
	for service, info := range services {
		for _, m := range info.Methods {
			delete(left, "/"+service+"/"+m.Name)
		}
	}
	return slices.Sorted(maps.Keys(left))
}

func (p Policy) has(method string) bool {
	_, ok := p[method]
	return ok
}
