package manager

import (
	"context"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/rmcp"
)

// solInstances is how many instances a payload can have: as many slots have
// their console at the shelf's door.
const solInstances = 15

// consoles are those of the shelf's VMs, for serial over LAN: instance n is
// that of slot n.
type consoles struct{ m *Manager }

// Open implements rmcp.Console.
func (c consoles) Open(ctx context.Context, o rmcp.Opening) (rmcp.Line, error) {
	m, addr := c.m, ipmb.SlotAddr(int(o.Instance))
	line, err := m.cfg.Console(ctx, m.cfg.Shelf, addr.HW(), o)
	if err == nil {
		return line, nil
	}
	m.cfg.Logger.Info("no serial over LAN", "shelf", m.cfg.Shelf, "slot", o.Instance, "why", err)
	return nil, err
}

// openPayloads makes serial over LAN at the shelf's door.
func (a *access) openPayloads(door LAN) *rmcp.SOL {
	lan := mc.LANChannel.Number
	c := rmcp.SOLConfig{
		Sessions: a.sessions, Instances: solInstances,
		Parameter: func(n uint8) []byte { return a.sol.Get(n, 0) },
		Allowed:   func(user uint8) bool { return a.users.MayUseSOL(lan, user) },
	}
	if a.m.cfg.Console != nil {
		c.Console = consoles{a.m}
	}
	if door.Address.IsValid() {
		c.Port = door.Address.Port()
	}
	return rmcp.NewSOL(c)
}

// payloadRows are for the shelf's own users.
func (a *access) payloadRows() []ipmb.Command {
	rows := a.payloads.Commands()
	for i := range rows {
		rows[i] = a.inside(rows[i])
	}
	return rows
}
