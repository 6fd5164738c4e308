package manager

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/midplane-project/midplane/internal/version"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/fru"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Commands of FRU inventory devices (IPMI 2.0 §34).
const (
	cmdFRUInfo  ipmb.Cmd = 0x10
	cmdReadFRU  ipmb.Cmd = 0x11
	cmdWriteFRU ipmb.Cmd = 0x12
)

// What a shelf that nobody has written to says of itself.
const (
	maker        = "Midplane"
	productShelf = "Midplane shelf"
)

// shelfFRU is FRU 0 of 0x20, the shelf FRU information. It is in raft, where a
// former leader, or a command that was taken for lost, may change it: it is
// loaded for each request, one at a time.
type shelfFRU struct {
	frus    *mc.FRUs
	records *replicated
	turn    turn
}

func newShelfFRU(m *Manager) *shelfFRU {
	content, err := m.inventory().Marshal()
	if err != nil {
		panic(fmt.Sprintf("manager: shelf FRU information: %v", err)) // texts that are cut to fit always do
	}
	f := &shelfFRU{records: &replicated{m: m}, turn: newTurn()}
	if f.frus, err = mc.NewFRUs([]mc.FRU{{ID: 0, Content: content}}, f.records); err != nil {
		panic(fmt.Sprintf("manager: shelf FRU device: %v", err)) // it has a size that there is
	}
	return f
}

// inventory is what is true of the shelf: its name, its cluster and the program
// that runs it. Nobody knows when it was made.
func (m *Manager) inventory() *fru.Inventory {
	serial := fru.NewText(uuid.UUID(m.cfg.Identity.DeviceGUID).String())
	return &fru.Inventory{
		Board: &fru.Board{
			Language: fru.English, Manufacturer: fru.NewText(maker), Product: fru.NewText(productShelf), Serial: serial,
		},
		Product: &fru.Product{
			Language: fru.English, Manufacturer: fru.NewText(maker), Name: fru.NewText(productShelf),
			Version: fru.NewText(version.Get()), Serial: serial, Asset: fru.NewText(m.cfg.Shelf),
			Custom: []fru.Field{fru.NewText("cluster " + m.cfg.Cluster)},
		},
	}
}

// commands are the device's rows. 0x20 has no private bus.
func (f *shelfFRU) commands() []ipmb.Command {
	rows := slices.DeleteFunc(f.frus.Commands(), func(c ipmb.Command) bool {
		return c.NetFn != ipmb.NetFnStorage
	})
	for i := range rows {
		rows[i].Do = f.alone(rows[i].Do)
	}
	return rows
}

// alone serves a request with what is in raft now. A write is committed under
// the request's name together with its answer.
func (f *shelfFRU) alone(do func(context.Context, *ipmb.Request) ([]byte, error)) func(context.Context, *ipmb.Request) ([]byte, error) {
	return func(ctx context.Context, req *ipmb.Request) ([]byte, error) {
		if err := f.turn.take(ctx); err != nil {
			return nil, ipmb.ErrFRUBusy
		}
		defer f.turn.release()
		if err := f.frus.Reload(); err != nil {
			return nil, err
		}
		f.records.by, f.records.ctx, f.records.response = req, ctx, written(req)
		defer func() { f.records.by, f.records.ctx = nil, nil }()
		return do(ctx, req)
	}
}

// written is the answer to Write FRU Data: how many bytes had room.
func written(req *ipmb.Request) []byte {
	if req.Cmd != cmdWriteFRU {
		return nil
	}
	return []byte{byte(mc.FRUWritten(mc.MaxFRU, int(binary.LittleEndian.Uint16(req.Data[1:])), req.Data[3:]))}
}
