package manager

import (
	"context"
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
)

// Raw asks a controller from 0x20 on behalf of an API client, or 0x20 itself.
// It fails when this replica does not lead, when the bus knows nobody at the
// address (D3h), and when nobody answers (C3h).
func (m *Manager) Raw(ctx context.Context, to ipmb.Addr, req *ipmb.Request) (ipmb.Response, error) {
	t, err := m.await(ctx)
	if err != nil {
		return ipmb.Response{}, err
	}
	req.Origin.Source, req.Origin.Shelf = ipmb.AddrShelfManager, m.cfg.Shelf
	if to == ipmb.AddrShelfManager {
		return m.mux.ServeIPMI(ctx, req), nil
	}
	answer, err := t.requester.Do(ctx, to, req, ipmb.ControllerRhythm)
	if err != nil {
		return answer, fmt.Errorf("ask %s: %w", to, err)
	}
	return answer, nil
}
