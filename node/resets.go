package node

import (
	"context"
	"log/slog"

	"github.com/midplane-project/midplane/node/power"
)

// watchResets calls reset after each reset of a VM and each end of its process,
// until ctx ends.
func watchResets(ctx context.Context, events *power.Events, reset func() error, log *slog.Logger) error {
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
			if err := reset(); err != nil {
				log.Error("settings that end with a reset of the VM", "err", err)
			}
		}
	}
}
