package powertest

import (
	"context"
	"slices"

	"github.com/midplane-project/midplane/node/power"
)

var _ power.Booter = (*VM)(nil)

// BootNext implements [power.Booter].
func (v *VM) BootNext(b power.Boot) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.next = b
}

// Reorder implements [power.Booter].
func (v *VM) Reorder(_ context.Context, order string) error {
	return v.living("Reorder", func() { v.order, v.once = order, false })
}

// Boots lists the boot orders by which the VM has booted so far, at starts and at resets.
func (v *VM) Boots() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.boots)
}
