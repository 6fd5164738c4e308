package node

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb/mc"
)

// recordLife is where a life is kept.
const recordLife = "chassis"

// Last power event (IPMI 2.0 §28.2).
const (
	eventOnByCommand = 0x10
	eventPowerFault  = 0x08
	eventHostFailed  = 0x01 // AC failed: the host went away under its VM
)

// lifeState is what a life keeps on disk, as JSON.
type lifeState struct {
	Policy       restorePolicy
	CyclePause   uint8 // seconds
	Panel        uint8 // buttons that are disabled
	Identify     int64 // until then, in Unix nanoseconds; forever, or 0 for off
	Capabilities []byte

	Cause restart // of the last start or reset
	Due   int64   // until then a start or reset is to have Cause; 0 for none
	Event uint8   // last power event
	Order string  // boot order that the VM's process was given, "" for its own
	Host  string  // which run of the host's kernel it is

	Device mc.BootDevice // that the VM was made to boot this time
}

// forever is a time that does not come.
const forever = math.MaxInt64

// life is what a node knows of its VM beside the VM itself: its past, and how
// the chassis commands want it to go on. The keeper writes down what happens;
// the chassis device answers by it.
type life struct {
	records  mc.Records
	boot     *mc.BootOptions
	hours    hours
	hostBoot string // of now; "" when nobody knows
	log      *slog.Logger

	mu      sync.Mutex
	state   lifeState
	control bool // the VM could not be started
	fault   bool // it crashed and is not on again

	order sync.Mutex // held while the VM is told what to boot
	fixed bool       // it boots what it should only in a new process
	used  mc.BootFlags
}

// newLife is a life without a past.
func newLife(r mc.Records, log *slog.Logger) *life {
	return &life{
		records: r, boot: &mc.BootOptions{Records: r}, hours: hours{records: r}, log: log,
		state: lifeState{Policy: restorePrevious, CyclePause: uint8(cyclePause / time.Second)},
	}
}

// openLife reads what an earlier process kept.
func openLife(r mc.Records, log *slog.Logger) (*life, error) {
	l := newLife(r, log)
	v, err := r.Get(recordLife)
	if err == nil && v != nil {
		err = json.Unmarshal(v, &l.state)
	}
	if err != nil {
		return nil, fmt.Errorf("read the VM's past: %w", err)
	}
	if err := l.boot.Load(); err != nil {
		return nil, err
	}
	return l, l.hours.load()
}

// device is what the VM was made to boot this time.
func (l *life) device() mc.BootDevice { return l.get().Device }

func (l *life) get() lifeState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// update changes what is kept, on disk first.
func (l *life) update(change func(*lifeState)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.state
	change(&next)
	v, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if old, err := json.Marshal(l.state); err != nil || string(old) == string(v) {
		return err
	}
	if err := l.records.Put(recordLife, v); err != nil {
		return err
	}
	l.state = next
	return nil
}

// note is update for what has happened in any case.
func (l *life) note(change func(*lifeState)) {
	if err := l.update(change); err != nil {
		l.log.Error("VM's past not stored", "err", err)
	}
}

// faults are the bits of a power fault and a control fault (IPMI 2.0 §28.2).
func (l *life) faults() (bits byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.control {
		bits |= statusControlFault
	}
	if l.fault {
		bits |= statusPowerFault
	}
	return bits
}

func (l *life) setFaults(control, fault bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.control, l.fault = control, fault
}

// started notes that the VM's process is there, or why it is not.
func (l *life) started(err error) {
	if err != nil {
		l.setFaults(true, false)
		return
	}
	l.setFaults(false, false)
	now := time.Now().UnixNano()
	l.note(func(s *lifeState) {
		if now > s.Due {
			s.Cause = restart{}
		}
		s.Due = 0
		switch s.Cause.Cause {
		case causeAlwaysOn, causePrevious: // after the last power event, which stands
		case causeControl:
			s.Event = eventOnByCommand
		default:
			s.Event = 0
		}
	})
}

// crashed notes that the VM broke down.
func (l *life) crashed() {
	l.setFaults(false, true)
	l.note(func(s *lifeState) { s.Event = eventPowerFault })
}
