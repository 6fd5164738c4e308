package sim_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"

	"github.com/midplane-project/midplane/internal/sim"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// claimOp is a hello.
type claimOp struct{ instance, boot int }

// claimResult is its answer.
type claimResult struct {
	epoch   uint64
	refusal v1.RefusalCode
}

func (o claimOp) ask(ctx context.Context, w *sim.World, replica string) (any, bool) {
	conn, err := w.Net.Dialer(fmt.Sprintf("claimer%d", o.instance))(ctx, replica)
	if err != nil {
		return nil, false
	}
	stream, err := conn.Attach(ctx)
	if err != nil {
		return nil, false
	}
	id := uuid.NewSHA1(uuid.Nil, []byte{byte(o.instance)})
	hello := &v1.NodeHello{Protocol: 1, Shelf: sim.Shelf, HardwareAddress: 0x41, Instance: id[:], Boot: uint64(o.boot)}
	if err := stream.Send(&v1.AttachRequest{Kind: &v1.AttachRequest_Hello{Hello: hello}}); err != nil {
		return nil, false
	}
	m, err := stream.Recv()
	switch {
	case err != nil, m.GetRefusal().GetCode() == v1.RefusalCode_REFUSAL_CODE_NO_QUORUM:
		return nil, false
	case m.GetRefusal() != nil:
		return claimResult{refusal: m.GetRefusal().GetCode()}, true
	}
	return claimResult{epoch: m.GetHello().GetEpoch()}, true
}

// claimModel is a slot: the claims that it was given to, in order; the epoch is
// the place in that order, from 1. When a lease is over is not the model's to
// say, so the slot may go to another at any time. A claim that holds is
// confirmed without a quorum, and so perhaps late: frames of its epoch are
// refused then.
var claimModel = porcupine.Model{
	Init: func() any { return claimState(nil) },
	Step: func(state, input, output any) (bool, any) {
		given, o := state.(claimState), input.(claimOp)
		if output == nil {
			if given.mayHave(o) {
				return true, append(slices.Clone(given), o)
			}
			return true, given
		}
		switch out := output.(claimResult); {
		case out.refusal == v1.RefusalCode_REFUSAL_CODE_SUPERSEDED:
			return given.laterThan(o), given
		case out.refusal == v1.RefusalCode_REFUSAL_CODE_CLAIMED:
			return len(given) > 0 && given[len(given)-1].instance != o.instance, given
		case out.refusal != 0:
			return false, given
		case out.epoch == uint64(len(given)+1):
			return given.mayHave(o), append(slices.Clone(given), o)
		default:
			return out.epoch > 0 && out.epoch <= uint64(len(given)) && given[out.epoch-1] == o, given
		}
	},
	Equal:             func(a, b any) bool { return slices.Equal(a.(claimState), b.(claimState)) },
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
	DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
}

// claimState is the claims that a slot was given to.
type claimState []claimOp

// mayHave reports whether o may be given the slot: not if a later start of its
// instance has it.
func (given claimState) mayHave(o claimOp) bool {
	return len(given) == 0 || !given[len(given)-1].later(o)
}

// laterThan reports whether a later start of o's instance ever had the slot.
func (given claimState) laterThan(o claimOp) bool {
	return slices.ContainsFunc(given, func(g claimOp) bool { return g.later(o) })
}

func (o claimOp) later(than claimOp) bool { return o.instance == than.instance && o.boot > than.boot }
