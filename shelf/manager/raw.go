package manager

import (
	"context"
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
)

// Raw asks a controller from 0x20 on behalf of an API client, or 0x20 itself.
// It fails when this replica does not lead or cannot confirm it, when the bus knows nobody at the
// address (D3h), and when nobody answers (C3h).
func (m *Manager) Raw(ctx context.Context, to ipmb.Addr, req *ipmb.Request) (ipmb.Response, error) {
	req.Origin.Source, req.Origin.Shelf = ipmb.AddrShelfManager, m.cfg.Shelf
	answer, err := m.Do(ctx, to, req)
	if err != nil {
		return answer, fmt.Errorf("ask %s: %w", to, err)
	}
	return answer, nil
}
