package mc

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// WatchdogConfig is what a [Watchdog] acts on. All of it must be set.
type WatchdogConfig struct {
	Cell    Cell
	Records Records
	// Wall has the countdown go on while the system stands still.
	Wall bool

	// Can reports whether the system can be interrupted and acted on like this.
	// What it cannot is refused when it is asked for, which is how software
	// finds out (IPMI 2.0 §27.4.1).
	Can func(WatchdogInterrupt, WatchdogAction) bool
	// Go runs f outside the timer's lock and to its end, or not at all when the
	// controller ends: then the next process does it.
	Go func(f func(context.Context))

	// What Go's functions do: an event of a watchdog2 sensor, a pre-timeout
	// interrupt, a timeout action.
	Event     func(ctx context.Context, offset, data2 byte)
	Interrupt func(context.Context, WatchdogInterrupt)
	Act       func(context.Context, WatchdogUse, WatchdogAction)

	// Settled is called when the timer was set anew: the pre-timeout message
	// flag, if it is up, is of the past.
	Settled func()
}

// Watchdog is a controller's watchdog timer.
type Watchdog struct {
	cfg WatchdogConfig

	mu         sync.Mutex
	state      watchdogState
	generation uint32 // of the settings
	stored     []byte // the record
	timer      *time.Timer
	closed     bool
}

// OpenWatchdog makes the timer, or takes over that of an earlier process. It
// does nothing before [Watchdog.System] has said what the system does.
func OpenWatchdog(cfg WatchdogConfig) (*Watchdog, error) {
	w := &Watchdog{cfg: cfg}
	var err error
	if w.stored, err = cfg.Records.Get(watchdogRecord); err != nil {
		return nil, fmt.Errorf("read the watchdog timer: %w", err)
	}
	if w.generation, w.state, err = restoreWatchdog(cfg.Cell.Load(), w.stored); err != nil {
		return nil, err
	}
	w.timer = time.AfterFunc(time.Hour, w.wake)
	w.timer.Stop()
	return w, nil
}

// System says whether the system stands still, and its time with it.
func (w *Watchdog) System(paused bool) {
	w.tell(watchdogEvent{kind: watchdogSystem, paused: paused && !w.cfg.Wall})
}

// SystemReset says that the system was reset.
func (w *Watchdog) SystemReset() { w.tell(watchdogEvent{kind: watchdogSystemReset}) }

// SystemOff says that the system has lost its power.
func (w *Watchdog) SystemOff() { w.tell(watchdogEvent{kind: watchdogSystemOff}) }

func (w *Watchdog) wake() { w.tell(watchdogEvent{kind: watchdogTime}) }

// tell is how everything but a command reaches the timer. What is due is noted
// as done when it is done, so that the next process does it if this one is killed.
func (w *Watchdog) tell(e watchdogEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed && !w.step(e) {
		w.keep()
	}
}

// step changes the state, and reports whether something is to be done for it.
func (w *Watchdog) step(e watchdogEvent) bool {
	var due []watchdogEffect
	w.state, due = w.state.next(e, time.Now())
	w.timer.Stop()
	if d, ok := w.state.wake(); ok {
		w.timer.Reset(d)
	}
	if len(due) == 0 {
		return false
	}
	w.cfg.Go(func(ctx context.Context) { w.do(ctx, due) })
	return true
}

func (w *Watchdog) do(ctx context.Context, due []watchdogEffect) {
	for _, e := range due {
		if e.interrupt != WatchdogNoInterrupt {
			w.cfg.Interrupt(ctx, e.interrupt)
		}
		if e.log {
			w.cfg.Event(ctx, e.offset, e.data2)
		}
		if e.action != WatchdogNoAction {
			w.cfg.Act(ctx, e.use, e.action)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keep()
}

func (w *Watchdog) keep() {
	w.cfg.Cell.Store(w.state.appendCell(make([]byte, 0, watchdogCellLen), w.generation))
}

// Forget makes the timer one that was never set.
func (w *Watchdog) Forget() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.cfg.Records.Delete(watchdogRecord); err != nil {
		return fmt.Errorf("forget the watchdog timer: %w", err)
	}
	w.timer.Stop()
	w.stored = nil
	w.state = watchdogState{found: w.state.found, paused: w.state.paused}
	w.keep()
	return nil
}

// Close stops the clock in this process. The next one goes on with the timer.
func (w *Watchdog) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.timer.Stop()
}

// Commands gives the watchdog timer's rows.
func (w *Watchdog) Commands() []ipmb.Command {
	return []ipmb.Command{
		{
			Name: "Reset Watchdog Timer", NetFn: ipmb.NetFnApp, Cmd: 0x22, Privilege: ipmb.PrivilegeOperator,
			Effect: true, Ref: "IPMI 2.0 §27.5", Do: w.feed,
		},
		{
			Name: "Set Watchdog Timer", NetFn: ipmb.NetFnApp, Cmd: 0x24, Privilege: ipmb.PrivilegeOperator,
			Data: ipmb.Exactly(watchdogLen), Effect: true, Ref: "IPMI 2.0 §27.6", Do: w.set,
		},
		{
			Name: "Get Watchdog Timer", NetFn: ipmb.NetFnApp, Cmd: 0x25, Privilege: ipmb.PrivilegeUser,
			Ref: "IPMI 2.0 §27.7", Do: w.get,
		},
	}
}

// feed starts the countdown. After the pre-timeout interrupt it cannot, and
// says so: Linux then sets the timer anew (ipmi_watchdog.c, pretimeout_since_last_heartbeat).
func (w *Watchdog) feed(context.Context, *ipmb.Request) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	late := w.step(watchdogEvent{kind: watchdogTime})
	switch {
	case !w.state.set:
		return nil, ipmb.ErrWatchdogUnstarted
	case w.state.stuck():
		return nil, ipmb.ErrState
	}
	if !w.step(watchdogEvent{kind: watchdogFeed}) && !late {
		w.keep()
	}
	return nil, nil
}

func (w *Watchdog) set(_ context.Context, req *ipmb.Request) ([]byte, error) {
	s, err := parseWatchdogSet(req.Data)
	if err != nil {
		return nil, err
	}
	if !w.cfg.Can(s.interrupt, s.action) {
		return nil, ipmb.ErrInvalidField
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.record(s.watchdogSettings); err != nil {
		return nil, err
	}
	w.step(watchdogEvent{kind: watchdogSetting, set: s})
	w.keep()
	w.cfg.Settled()
	return nil, nil
}

// record puts settings on disk, unless they are there.
func (w *Watchdog) record(s watchdogSettings) error {
	record := appendWatchdogRecord(nil, w.generation, s, false, 0)
	if bytes.Equal(record, w.stored) {
		return nil
	}
	binary.BigEndian.PutUint32(record, w.generation+1)
	if err := w.cfg.Records.Put(watchdogRecord, record); err != nil {
		return fmt.Errorf("store the watchdog timer: %w", err)
	}
	w.generation, w.stored = w.generation+1, record
	return nil
}

func (w *Watchdog) get(context.Context, *ipmb.Request) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.state
	left := (s.remaining(time.Now()) + watchdogTick - 1) / watchdogTick // what runs never shows 0
	out := s.append(make([]byte, 0, watchdogLen+2), s.running, s.expired)
	return binary.LittleEndian.AppendUint16(out, uint16(left)), nil
}
