package node

import (
	"context"

	"github.com/midplane-project/midplane/node/power"
)

// watchResets tells the controller of resets of the VM that the node started,
// until ctx ends.
func (n *Node) watchResets(ctx context.Context) error {
	if n.machine == nil {
		return nil
	}
	events := n.machine.Subscribe(64)
	defer events.Cancel()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-events.C():
			if !ok {
				return nil
			}
			if e.Kind != power.EventReset && e.Kind != power.EventExited {
				continue
			}
			if err := n.controller.access.systemReset(); err != nil {
				n.log.Error("settings that end with a reset of the VM", "err", err)
			}
		}
	}
}
