package api

import (
	"errors"
	"math"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/node"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

func (s *NodeServer) injectSensorFault(r *v1.InjectFaultRequest) (*v1.InjectFaultResponse, error) {
	f, err := sensorFault(r)
	if err != nil {
		return nil, err
	}
	a, err := s.node.SensorFaults().Inject(f)
	switch {
	case errors.Is(err, node.ErrNoSensor):
		return nil, status.Error(codes.NotFound, err.Error())
	case errors.Is(err, node.ErrSensorFault):
		return nil, status.Error(codes.InvalidArgument, err.Error())
	case err != nil:
		return nil, rpcError(err)
	}
	return &v1.InjectFaultResponse{Fault: wireSensorFault(a)}, nil
}

// sensorFault reads a fault; what does not fit is InvalidArgument.
func sensorFault(r *v1.InjectFaultRequest) (node.SensorFault, error) {
	x := r.Sensor
	switch {
	case r.Bmc != nil:
		return node.SensorFault{}, status.Error(codes.InvalidArgument, "two faults are named")
	case x.Kind < 0 || x.Kind > math.MaxUint8 || x.Offset > math.MaxUint8:
		return node.SensorFault{}, status.Error(codes.InvalidArgument, "a number is too large")
	}
	return node.SensorFault{
		Kind: node.SensorFaultKind(x.Kind), Sensor: x.Sensor, Value: x.Value, To: x.To, Offset: uint8(x.Offset),
		For: time.Duration(r.Duration),
	}, nil
}

func wireSensorFault(a node.ActiveSensorFault) *v1.Fault {
	m := &v1.Fault{Id: a.ID, Hits: uint64(a.Hits), Sensor: &v1.SensorFault{
		Kind: v1.SensorFaultKind(a.Kind), Sensor: a.Sensor, Value: a.Value, To: a.To, Offset: uint32(a.Offset),
	}}
	if !a.Until.IsZero() {
		m.Until = a.Until.UnixNano()
	}
	return m
}
