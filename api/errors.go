package api

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// rpcError gives an error the gRPC status that says what to do about it: an
// absent controller is NotFound, a silent one DeadlineExceeded.
func rpcError(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codeOf(err), err.Error())
}

func codeOf(err error) codes.Code {
	switch {
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, ipmb.ErrTimeout):
		return codes.DeadlineExceeded
	case errors.Is(err, ipmb.ErrDestination):
		return codes.NotFound
	case errors.Is(err, ipmb.ErrPrivilege):
		return codes.PermissionDenied
	case errors.Is(err, ipmb.ErrBusy):
		return codes.ResourceExhausted
	case errors.Is(err, ipmb.ErrState):
		return codes.FailedPrecondition
	case errors.Is(err, ipmb.ErrInvalidField):
		return codes.InvalidArgument
	}
	return codes.Unknown
}

// rawRequest reads a RawRequest; fields that do not fit the protocol are InvalidArgument.
func rawRequest(r *v1.RawRequest) (*ipmb.Request, error) {
	switch {
	case r.NetFn > 0x3E || r.NetFn&1 != 0:
		return nil, status.Errorf(codes.InvalidArgument, "network function 0x%02x: want an even number to 0x3e", r.NetFn)
	case r.Command > 0xFF:
		return nil, status.Errorf(codes.InvalidArgument, "command 0x%x does not fit in a byte", r.Command)
	case r.Lun > 3:
		return nil, status.Errorf(codes.InvalidArgument, "LUN %d: want 0 to 3", r.Lun)
	case len(r.Data) > ipmb.MaxFramePayload:
		return nil, status.Errorf(codes.InvalidArgument, "%d data bytes; at most %d", len(r.Data), ipmb.MaxFramePayload)
	}
	return &ipmb.Request{
		NetFn: ipmb.NetFn(r.NetFn), LUN: ipmb.LUN(r.Lun), Cmd: ipmb.Cmd(r.Command), Data: r.Data,
		Origin: ipmb.Origin{Speaker: ipmb.SpeakerAPI, Door: ipmb.DoorAPI, Privilege: ipmb.PrivilegeAdmin},
	}, nil
}

func rawResponse(r ipmb.Response) *v1.RawResponse {
	return &v1.RawResponse{CompletionCode: uint32(r.Code), CompletionText: r.Code.String(), Data: r.Data}
}
