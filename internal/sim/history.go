package sim

import (
	"math"
	"sync"
	"sync/atomic"

	"github.com/anishathalye/porcupine"
)

// History records operations for a check of linearizability. Times are counted,
// not measured: in virtual time much happens at one moment.
type History struct {
	clock atomic.Int64

	mu  sync.Mutex
	ops []porcupine.Operation
}

// Do records one operation. do reports whether the outcome is known; one that
// is not may take effect at any later time, or never. A reading one without
// outcome says nothing, and is left out.
func (h *History) Do(client int, input any, reads bool, do func() (output any, known bool)) {
	op := porcupine.Operation{ClientId: client, Input: input, Call: h.clock.Add(1)}
	out, known := do()
	op.Output, op.Return = out, h.clock.Add(1)
	if !known && reads {
		return
	}
	if !known {
		op.Output, op.Return = nil, math.MaxInt64
	}
	h.Add(op)
}

// Add adds an operation as it is.
func (h *History) Add(op porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// Happened records an operation that the shelf did by itself, at some time.
func (h *History) Happened(client int, input, output any) {
	h.Add(porcupine.Operation{ClientId: client, Input: input, Output: output, Return: math.MaxInt64})
}

// Perhaps adds that an operation may besides have taken effect earlier than its
// outcome says: at some time since its call, or never.
func (h *History) Perhaps(client int, op porcupine.Operation) {
	h.Add(porcupine.Operation{ClientId: client, Input: op.Input, Call: op.Call, Return: math.MaxInt64})
}

// Operations are all operations so far. Those whose outcome is unknown have no output.
func (h *History) Operations() []porcupine.Operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ops
}
