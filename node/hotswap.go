package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/picmg"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/vm"
)

// recordHotSwap is where the state of FRU 0 is kept.
const recordHotSwap = "hotswap"

// sensorFRU tells the hot-swap state of FRU 0.
var sensorFRU = mc.SensorKey{Number: picmg.SensorFRUState}

// fruSensor is its table row: every transition is an event.
var fruSensor = discrete{
	sensorFRU, "FRU State", sel.SensorHotSwap, sel.EventSensor,
	offsets(1, 2, 3, 4, 5, 6), offsets(1, 2, 3, 4, 5, 6), 0,
}

// fruRecord is the sensor's data record. Its state is the board's own, which
// nobody sets, and which nobody may keep from the shelf.
func fruRecord(id Identity) *sdr.Compact {
	r := fruSensor.record(id.Addr, id.entity())
	r.Init &^= sdr.InitSettable
	r.Capabilities.Events = sdr.ControlGlobal
	return r
}

// hotSwapState is what a board keeps of its hot swap, as JSON: also an event
// that was not yet made when the process ended.
type hotSwapState struct {
	picmg.HotSwap
	Untold *picmg.HotSwapEvent `json:",omitempty"`
}

// hotSwap is FRU 0 of a board. The VM has the shelf's grant in M4 and M5, and
// keeps it in M6 until it has ended.
type hotSwap struct {
	vm       payload
	records  mc.Records
	sensors  *sensors
	graceful bool // the VM's guest can be given the time to end
	spawn    func(func(context.Context))
	log      *slog.Logger

	turn  sync.Mutex // of who acts on the VM
	mu    sync.Mutex
	state hotSwapState
}

// openHotSwap reads where the board was. One that was never under a shelf
// manager that activates boards is active, if its VM may have power.
func (c *Controller) openHotSwap(p parts, r mc.Records) (*hotSwap, error) {
	s := &hotSwap{
		vm: sensed{p.vm, c.sensors}, records: r, sensors: c.sensors, graceful: p.canCycle, spawn: c.spawn, log: c.log,
		state: hotSwapState{HotSwap: picmg.HotSwap{State: picmg.M1}},
	}
	if p.settings.granted {
		s.state.State = picmg.M4
	}
	v, err := r.Get(recordHotSwap)
	if err == nil && v != nil {
		err = json.Unmarshal(v, &s.state)
	}
	if err != nil {
		return nil, fmt.Errorf("read the board's hot-swap state: %w", err)
	}
	was := s.state.State
	if s.state.Untold != nil {
		was = s.state.Untold.Previous
	}
	return s, s.sensors.Begin(sensorFRU, uint8(was))
}

func (s *hotSwap) get() picmg.HotSwap {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.HotSwap
}

// keep changes the state, on disk first. The caller has mu.
func (s *hotSwap) keep(next hotSwapState) error {
	v, err := json.Marshal(next)
	if err == nil {
		err = s.records.Put(recordHotSwap, v)
	}
	if err == nil {
		s.state = next
	}
	return err
}

// step takes an input and tells of the new state, if there is one. What is to
// be done then is the caller's.
func (s *hotSwap) step(in picmg.HotSwapInput) (picmg.HotSwapEffect, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.state.State
	to, effect, err := s.state.Next(in)
	if err != nil || to == was {
		return effect, err
	}
	next := s.state
	next.State, next.Untold = to, &picmg.HotSwapEvent{State: to, Previous: was, Cause: in.Cause(), FRU: picmg.ThisFRU}
	if err := s.keep(next); err != nil {
		return picmg.NoEffect, err
	}
	s.log.Info("FRU state", "from", was.String(), "to", to.String(), "cause", in.Cause().String())
	s.tell()
	return effect, nil
}

// tell makes the event of the last transition. The caller has mu.
func (s *hotSwap) tell() {
	e := s.state.Untold
	if e == nil {
		return
	}
	d := e.Data()
	s.sensors.note(s.sensors.Enter(sensorFRU, uint8(e.State), d[1], d[2]))
	next := s.state
	next.Untold = nil
	if err := s.keep(next); err != nil {
		s.log.Error("told FRU state not stored", "err", err)
	}
}

// resume goes on where an earlier process stopped: it tells what that did not,
// and takes the power of a VM that nobody but the VM protocol can tell of. Of
// others it hears when they are found.
func (s *hotSwap) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell()
	if s.state.State == picmg.M6 && !s.graceful {
		s.spawn(func(ctx context.Context) { s.act(ctx, picmg.CutPower) })
	}
}

// do takes an input and does what follows from it. The VM may take its time.
func (s *hotSwap) do(ctx context.Context, in picmg.HotSwapInput) error {
	effect, err := s.step(in)
	if err == nil {
		s.act(ctx, effect)
	}
	return err
}

// act ends the VM. It has left its slot's power when it is off.
func (s *hotSwap) act(ctx context.Context, effect picmg.HotSwapEffect) {
	if effect == picmg.NoEffect {
		return
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	if effect == picmg.Quiesce && s.graceful && s.vm.On() {
		err := s.vm.Press(ctx, vm.CommandGracefulPower)
		if err == nil {
			return
		}
		s.log.Warn("the guest cannot be asked to end, and loses its power", "err", err)
	}
	if err := s.vm.PowerOff(ctx); err != nil {
		s.log.Error("payload of a board not powered off", "err", err)
		return
	}
	s.left()
}

// left takes a board whose VM is off from M6 to M1. The caller has the turn.
func (s *hotSwap) left() {
	if s.get().State != picmg.M6 || s.vm.On() {
		return
	}
	err := s.vm.Grant(false)
	if err == nil {
		_, err = s.step(picmg.Quiesced)
	}
	if err != nil {
		s.log.Error("board not inactive", "err", err)
	}
}

// look finds out whether a board in M6 has lost its power, in its own time: who
// calls it may be who ends the VM.
func (s *hotSwap) look() {
	if s.get().State != picmg.M6 {
		return
	}
	s.spawn(func(context.Context) {
		s.turn.Lock()
		defer s.turn.Unlock()
		s.left()
	})
}

// powerUp gives the VM the shelf's grant, and power. One that somebody else
// starts has its power from them.
func (s *hotSwap) powerUp(ctx context.Context) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if _, _, err := s.get().Next(picmg.PowerUp); err != nil {
		return err
	}
	if err := s.vm.Grant(true); err != nil {
		return err
	}
	if err := s.vm.PowerOn(ctx); err != nil && !errors.Is(err, ErrNoVM) {
		return err
	}
	_, err := s.step(picmg.PowerUp)
	return err
}

// leave asks for the board's deactivation: its guest has powered it off.
func (s *hotSwap) leave() {
	if _, err := s.step(picmg.WantOff); err != nil {
		s.log.Warn("board does not ask to be deactivated", "err", err)
	}
}

// setPolicy changes what holds the board where it is, on disk first. Clearing
// Locked asks for its activation.
func (s *hotSwap) setPolicy(p picmg.ActivationPolicy) error {
	s.mu.Lock()
	next := s.state
	next.HotSwap = next.WithPolicy(p)
	err := s.keep(next)
	s.mu.Unlock()
	if err == nil && p.Mask&^p.Bits&picmg.PolicyLocked != 0 {
		_, err = s.step(picmg.Unlock)
	}
	return err
}

// vmFound implements vmWatcher.
func (s *hotSwap) vmFound(state power.State) {
	if s.get().State != picmg.M6 || state == power.Unknown {
		return
	}
	s.spawn(func(ctx context.Context) { s.act(ctx, picmg.Quiesce) })
}

// vmHappened implements vmWatcher.
func (s *hotSwap) vmHappened(e power.Event, _ bool) {
	if e.State != power.Unknown {
		s.look()
	}
}

// vmPressed implements vmWatcher.
func (s *hotSwap) vmPressed() {}

// vmCycled implements vmWatcher.
func (s *hotSwap) vmCycled() {}
