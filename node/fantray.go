package node

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/picmg"
)

// Levels of a fan tray are per cent of its fans' full speed. A tray that nobody
// orders about keeps to the normal one.
const (
	fanLowest  = 20
	fanHighest = 100
	fanNormal  = 50
)

// recordFans is the level that the tray was ordered to keep, and whether local
// control goes on beside it.
const recordFans = "fans"

// fanTray is the control of a fan tray's fans: FRU 0 and nothing more.
type fanTray struct {
	records mc.Records

	mu   sync.Mutex
	set  picmg.FanLevel
	tell func(percent uint8) // nil until somebody wants to know
}

func openFanTray(r mc.Records) (*fanTray, error) {
	f := &fanTray{records: r, set: picmg.FanLevel{Level: picmg.FanLocal, Local: true}}
	raw, err := r.Get(recordFans)
	if err != nil || raw == nil {
		return f, err
	}
	if f.set, err = picmg.ParseFanLevel(raw); err != nil {
		return nil, fmt.Errorf("the fans' level: %w", err)
	}
	return f, nil
}

// percentOf is the speed that an order asks of the fans. Local control never
// lets them be slower than it wants, except in an emergency.
func percentOf(set picmg.FanLevel) uint8 {
	switch {
	case set.Level == picmg.FanShutDown:
		return 0
	case set.Level == picmg.FanLocal:
		return fanNormal
	case set.Local:
		return max(set.Level, fanNormal)
	}
	return set.Level
}

// flow is the level as the thermal model has it.
func (f *fanTray) flow() (level float64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return float64(percentOf(f.set)) / 100, true
}

// follow has tell called with the level, now and when it changes.
func (f *fanTray) follow(tell func(percent uint8)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tell = tell
	tell(percentOf(f.set))
}

func (f *fanTray) commands() []ipmb.Command {
	set := picmgRow("Set Fan Level", picmg.CmdSetFanLevel, ipmb.PrivilegeOperator, ipmb.Between(2, 3), f.setLevel)
	set.Effect = true
	return []ipmb.Command{
		picmgRow("Get Fan Speed Properties", picmg.CmdGetFanProperties, ipmb.PrivilegeUser, ipmb.Exactly(1), f.properties),
		set,
		picmgRow("Get Fan Level", picmg.CmdGetFanLevel, ipmb.PrivilegeUser, ipmb.Exactly(1), f.level),
	}
}

func (f *fanTray) properties(_ context.Context, req *ipmb.Request) ([]byte, error) {
	if req.Data[0] != picmg.ThisFRU {
		return nil, ipmb.ErrNotPresent
	}
	return picmg.FanProperties{Min: fanLowest, Max: fanHighest, Normal: fanNormal, Local: true}.AppendBinary(nil)
}

func (f *fanTray) level(_ context.Context, req *ipmb.Request) ([]byte, error) {
	if req.Data[0] != picmg.ThisFRU {
		return nil, ipmb.ErrNotPresent
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return picmg.FanLevels{Ordered: f.set.Level, Own: fanNormal, Local: f.set.Local}.AppendBinary(nil)
}

func (f *fanTray) setLevel(_ context.Context, req *ipmb.Request) ([]byte, error) {
	set, err := picmg.ParseFanLevel(req.Data)
	switch {
	case err != nil:
		return nil, err
	case set.FRU != picmg.ThisFRU:
		return nil, ipmb.ErrNotPresent
	case !slices.Contains([]uint8{picmg.FanShutDown, picmg.FanLocal}, set.Level) && (set.Level < fanLowest || set.Level > fanHighest):
		return nil, ipmb.ErrParameterRange
	}
	raw, err := set.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.records.Put(recordFans, raw); err != nil {
		return nil, err
	}
	f.set = set
	if f.tell != nil {
		f.tell(percentOf(set))
	}
	return nil, nil
}
