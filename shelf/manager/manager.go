package manager

import (
	"context"
	"slices"
	"sync"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Manager is the shelf manager of one shelf.
type Manager struct {
	cfg    Config
	mux    *ipmb.Mux
	kicked chan struct{} // one slot: the reconciler should look again
	sdrs   *repository
	orders turn // of who changes the order under way
	fru    *shelfFRU
	senses *senses
	swaps  hotSwaps
	access *access

	mu     sync.Mutex
	tenure *tenure       // nil: this replica does not lead
	begun  chan struct{} // closed when a tenure begins
}

// New makes a shelf manager, which is silent until [Manager.Lead]. It is for one
// tenure: what its sensors have told begins anew with each.
func New(cfg Config) *Manager {
	m := &Manager{cfg: cfg.withDefaults(), kicked: make(chan struct{}, 1), begun: make(chan struct{}), swaps: hotSwaps{of: make(map[uint8]hotSwapCheck)}}
	m.orders, m.fru, m.senses = newTurn(), newShelfFRU(m), newSenses(m)
	m.sdrs = &repository{m: m, turn: newTurn()}
	m.access = openAccess(m)
	m.mux = ipmb.NewMux(m.tables()...)
	return m
}

// Commands lists the rows that are served at 0x20.
func (m *Manager) Commands() []ipmb.Command { return m.mux.Commands() }

// tables are the rows of 0x20. It is its own event receiver, and nobody can
// change that.
func (m *Manager) tables() [][]ipmb.Command {
	receiver := mc.NewEventReceiver(mc.Receiver{Addr: ipmb.AddrShelfManager}, func(mc.Receiver) error { return ipmb.ErrInvalidField })
	return append([][]ipmb.Command{
		m.cfg.Identity.Commands(func() *ipmb.Mux { return m.mux }, m.selfTest),
		receiver.Commands(),
		m.eventCommands(),
		closedToGuests(mc.SELCommands(selStore{m})),
		mc.SDRCommands(m.sdrs),
		m.senses.commands(),
		m.chassisCommands(),
		closedToGuests(m.fru.commands()),
		m.picmgCommands(),
		m.bridgeCommands(),
	}, m.access.tables()...)
}

// closedToGuests shuts the rows that erase or shift the shelf's SEL, or write
// its FRU information, to guests, beside the guest policy: they are not theirs.
func closedToGuests(rows []ipmb.Command) []ipmb.Command {
	for i := range rows {
		if slices.Contains([]ipmb.Cmd{cmdDeleteSEL, cmdClearSEL, cmdSetSELTime, cmdWriteFRU}, rows[i].Cmd) {
			rows[i].Access = ipmb.NotGuest
		}
	}
	return rows
}

// selfTest reads the log and the repository, and asks the quorum.
func (m *Manager) selfTest(ctx context.Context) mc.SelfTest {
	var failed byte
	if _, err := m.cfg.State.SEL(m.cfg.Shelf); err != nil {
		failed |= mc.SelfTestSEL
	}
	if _, _, err := m.sdrs.SDRs(ctx); err != nil {
		failed |= mc.SelfTestSDR
	}
	if err := m.cfg.Raft.VerifyLeader(ctx); err != nil {
		failed |= mc.SelfTestIPMB
	}
	if failed != 0 {
		return mc.SelfTest{Result: mc.SelfTestFailed, Detail: failed}
	}
	return mc.SelfTest{Result: mc.SelfTestPassed}
}

// kick makes the reconciler look at the slots.
func (m *Manager) kick() {
	select {
	case m.kicked <- struct{}{}:
	default:
	}
}
