package sim_test

import (
	"math"
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/midplane-project/midplane/internal/sim"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// claimed is one claim of a history: from call to return, with its answer; no
// return: its outcome is unknown.
type claimed struct {
	call, ret int64
	claimOp
	answer claimResult
}

func got(epoch uint64) claimResult { return claimResult{epoch: epoch} }

// TestClaimHistories holds histories against the model. The first two were
// taken for illegal once.
func TestClaimHistories(t *testing.T) {
	const inf = math.MaxInt64
	a, b, c := 1, 0, 2 // instances
	superseded := claimResult{refusal: v1.RefusalCode_REFUSAL_CODE_SUPERSEDED}
	held := claimResult{refusal: v1.RefusalCode_REFUSAL_CODE_CLAIMED}
	unknownShelf := claimResult{refusal: v1.RefusalCode_REFUSAL_CODE_UNKNOWN_SHELF}
	tests := map[string]struct {
		history []claimed
		want    bool
	}{
		"given, and superseded before its stream is connected": {[]claimed{
			{1, 10, claimOp{a, 1}, superseded},
			{2, 7, claimOp{b, 1}, held},
			{3, 9, claimOp{a, 2}, got(2)},
			{4, 8, claimOp{c, 3}, held},
			{5, 6, claimOp{b, 2}, held},
			{11, 12, claimOp{c, 2}, held},
			{13, 14, claimOp{b, 1}, held},
			{15, inf, claimOp{b, 1}, claimResult{}},
			{16, inf, claimOp{c, 2}, claimResult{}},
			{19, 20, claimOp{b, 2}, held},
			{21, 22, claimOp{a, 2}, got(2)},
			{23, 24, claimOp{a, 1}, superseded},
			{25, 26, claimOp{a, 2}, got(2)},
			{34, 35, claimOp{a, 3}, got(3)},
			{31, 36, claimOp{c, 1}, held},
		}, true},
		"the same, later in its slot's life": {[]claimed{
			{1, 2, claimOp{a, 1}, got(1)},
			{3, 6, claimOp{a, 2}, superseded},
			{4, 5, claimOp{a, 3}, got(3)},
			{7, 8, claimOp{a, 1}, superseded},
		}, true},
		"superseded by a start that came only then": {[]claimed{
			{1, 2, claimOp{a, 1}, superseded},
			{3, 4, claimOp{a, 2}, got(2)},
		}, false},
		"superseded by nobody":            {[]claimed{{1, 2, claimOp{a, 1}, got(1)}, {3, 4, claimOp{a, 2}, superseded}}, false},
		"an epoch that nobody had":        {[]claimed{{1, 4, claimOp{a, 1}, superseded}, {2, 3, claimOp{a, 2}, got(3)}}, false},
		"an epoch given twice":            {[]claimed{{1, 2, claimOp{a, 1}, got(1)}, {3, 4, claimOp{b, 1}, got(1)}}, false},
		"an older start after a later":    {[]claimed{{1, 2, claimOp{a, 2}, got(1)}, {3, 4, claimOp{a, 1}, got(2)}}, false},
		"held by nobody":                  {[]claimed{{1, 2, claimOp{a, 1}, held}, {3, 4, claimOp{b, 1}, got(1)}}, false},
		"held by itself":                  {[]claimed{{1, 2, claimOp{a, 1}, got(1)}, {3, 4, claimOp{a, 2}, held}}, false},
		"to another, whose boot is lower": {[]claimed{{1, 2, claimOp{a, 3}, got(1)}, {3, 4, claimOp{b, 1}, got(2)}, {5, 6, claimOp{a, 1}, got(3)}}, true},
		"an unknown outcome that counts":  {[]claimed{{1, inf, claimOp{a, 1}, claimResult{}}, {2, 3, claimOp{a, 2}, got(2)}}, true},
		"a claim confirmed late":          {[]claimed{{1, 2, claimOp{a, 1}, got(1)}, {3, 4, claimOp{a, 2}, got(2)}, {5, 6, claimOp{a, 1}, got(1)}}, true},
		"a shelf that is not there":       {[]claimed{{1, 2, claimOp{a, 1}, unknownShelf}}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := porcupine.CheckOperations(claimModel, operations(tt.history)); got != tt.want {
				t.Errorf("linearizable: %v", got)
			}
		})
	}
}

// operations records a history as the clients of the simulation do.
func operations(history []claimed) []porcupine.Operation {
	var h sim.History
	for i, c := range history {
		op := porcupine.Operation{ClientId: i, Input: c.claimOp, Output: c.answer, Call: c.call, Return: c.ret}
		if c.ret == math.MaxInt64 {
			op.Output = nil
		}
		h.Add(op)
	}
	addLostClaims(&h)
	return h.Operations()
}
