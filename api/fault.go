package api

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// InjectFault implements v1.NodeServer.
func (s *NodeServer) InjectFault(_ context.Context, r *v1.InjectFaultRequest) (*v1.InjectFaultResponse, error) {
	if r.Sensor != nil {
		return s.injectSensorFault(r)
	}
	f, err := doorFault(r)
	if err != nil {
		return nil, err
	}
	a, err := s.node.Faults().Inject(f)
	if errors.Is(err, vm.ErrFault) {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if err != nil {
		return nil, rpcError(err)
	}
	return &v1.InjectFaultResponse{Fault: wireFault(a)}, nil
}

// ListFaults implements v1.NodeServer.
func (s *NodeServer) ListFaults(context.Context, *v1.ListFaultsRequest) (*v1.ListFaultsResponse, error) {
	m := &v1.ListFaultsResponse{}
	for _, a := range s.node.Faults().Faults() {
		m.Faults = append(m.Faults, wireFault(a))
	}
	for _, a := range s.node.SensorFaults().Faults() {
		m.Faults = append(m.Faults, wireSensorFault(a))
	}
	slices.SortFunc(m.Faults, func(a, b *v1.Fault) int { return cmp.Compare(a.Id, b.Id) })
	return m, nil
}

// HealFault implements v1.NodeServer.
func (s *NodeServer) HealFault(_ context.Context, r *v1.HealFaultRequest) (*v1.HealFaultResponse, error) {
	door, sensor := s.node.Faults().Heal(r.Id), s.node.SensorFaults().Heal(r.Id)
	if !door && !sensor && r.Id != 0 {
		return nil, status.Errorf(codes.NotFound, "there is no fault %d", r.Id)
	}
	return &v1.HealFaultResponse{}, nil
}

// doorFault reads a fault; what does not fit the protocol is InvalidArgument.
func doorFault(r *v1.InjectFaultRequest) (vm.Fault, error) {
	b := r.Bmc
	switch {
	case b == nil:
		return vm.Fault{}, status.Error(codes.InvalidArgument, "no fault is named")
	case b.CompletionCode > 0xFF || b.Match.GetNetFn() > 0x3F || b.Match.GetCommand() > 0xFF:
		return vm.Fault{}, status.Error(codes.InvalidArgument, "a completion code, network function or command does not fit in its byte")
	case b.Count > math.MaxInt32 || b.Keep > math.MaxInt32 || b.Kind < 0 || b.Kind > math.MaxUint8:
		return vm.Fault{}, status.Error(codes.InvalidArgument, "a number is too large")
	}
	f := vm.Fault{
		Kind: vm.FaultKind(b.Kind), Delay: time.Duration(b.Delay), Code: ipmb.CompletionCode(b.CompletionCode),
		Keep: int(b.Keep), Count: int(b.Count), For: time.Duration(r.Duration),
	}
	if m := b.Match; m != nil {
		f.Match, f.NetFn, f.Cmd = true, ipmb.NetFn(m.NetFn), ipmb.Cmd(m.Command)
	}
	return f, nil
}

func wireFault(a vm.ActiveFault) *v1.Fault {
	m := &v1.Fault{Id: a.ID, Hits: uint64(a.Hits), Bmc: &v1.BMCFault{
		Kind: v1.BMCFaultKind(a.Kind), Delay: int64(a.Delay), CompletionCode: uint32(a.Code), Keep: uint32(a.Keep), Count: uint32(a.Count),
	}}
	if a.Match {
		m.Bmc.Match = &v1.RequestMatch{NetFn: uint32(a.NetFn), Command: uint32(a.Cmd)}
	}
	if !a.Until.IsZero() {
		m.Until = a.Until.UnixNano()
	}
	return m
}
