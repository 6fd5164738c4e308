package shelf

import (
	"context"
	"errors"
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/rmcp"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/backplane"
)

// console takes over the console of the VM of a slot's node, for serial over LAN.
func (r *Replica) console(ctx context.Context, shelf string, hw uint8, o rmcp.Opening) (rmcp.Line, error) {
	c, err := r.sw.Console(ctx, shelf, hw, &v1.ConsoleCall{Session: []byte(o.Session), Resume: o.Resume, HoldMs: uint32(o.Hold.Milliseconds())})
	switch {
	case errors.Is(err, backplane.ErrNoConsole):
		return nil, fmt.Errorf("%w: %w", rmcp.ErrPayloadDisabled, err)
	case errors.Is(err, backplane.ErrNoNode):
		return nil, fmt.Errorf("%w: %w", ipmb.ErrNotPresent, err)
	case err != nil:
		return nil, err
	}
	return c, nil
}
