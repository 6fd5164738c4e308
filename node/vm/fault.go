package vm

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// FaultKind is one way for a BMC to be bad.
type FaultKind uint8

// Ways to be bad.
const (
	FaultDelay           FaultKind = iota + 1 // the request waits before it is served
	FaultDrop                                 // it is served, and not answered
	FaultCode                                 // it is not served, and answered with a completion code
	FaultTruncate                             // the answer is cut short
	FaultBadChecksum                          // the answer's checksum is wrong, so that QEMU drops it
	FaultWrongSeq                             // the answer has another request's number, so that the device drops it
	FaultAttentionStuck                       // the attention line stays up
	FaultQueueNeverEmpty                      // Get Message never says that the queue is empty
)

var faultNames = [...]string{
	FaultDelay: "delay", FaultDrop: "drop", FaultCode: "cc", FaultTruncate: "truncate", FaultBadChecksum: "bad-checksum",
	FaultWrongSeq: "wrong-seq", FaultAttentionStuck: "attn-stuck", FaultQueueNeverEmpty: "queue-never-empty",
}

func (k FaultKind) String() string {
	if k > 0 && int(k) < len(faultNames) {
		return faultNames[k]
	}
	return fmt.Sprintf("fault(%d)", uint8(k))
}

// matches reports whether faults of this kind are for chosen requests.
func (k FaultKind) matches() bool { return k != FaultAttentionStuck && k != FaultQueueNeverEmpty }

// ErrFault says that a fault cannot be as it was described.
var ErrFault = errors.New("vm: no such fault")

// MaxFaults bounds the faults of a door at once.
const MaxFaults = 64

// Fault makes a door misbehave towards its guest, so that those who write
// drivers see what theirs does. It concerns the door alone: the controller, the
// bus and other doors go on as they should.
type Fault struct {
	Kind  FaultKind
	Match bool // only requests with this NetFn and Cmd
	NetFn ipmb.NetFn
	Cmd   ipmb.Cmd
	Delay time.Duration       // of FaultDelay; after four seconds QEMU has given the request up
	Code  ipmb.CompletionCode // of FaultCode
	Keep  int                 // of FaultTruncate: bytes that are left after the completion code
	Count int                 // how many requests it spoils; 0: all
	For   time.Duration       // how long it lasts; 0: until it is cleared
}

func (f Fault) check() error {
	switch {
	case f.Kind < FaultDelay || f.Kind > FaultQueueNeverEmpty:
		return fmt.Errorf("%w: kind %d", ErrFault, f.Kind)
	case f.Kind == FaultDelay && f.Delay <= 0:
		return fmt.Errorf("%w: a delay must be longer than nothing", ErrFault)
	case f.Count < 0 || f.For < 0 || f.Keep < 0:
		return fmt.Errorf("%w: negative number", ErrFault)
	case !f.Kind.matches() && f.Match:
		return fmt.Errorf("%w: %s is not about single requests", ErrFault, f.Kind)
	case f.Kind == FaultAttentionStuck && f.Count > 0:
		return fmt.Errorf("%w: %s has nothing to count", ErrFault, f.Kind)
	}
	return nil
}

// ActiveFault is a fault that a door has.
type ActiveFault struct {
	ID uint32
	Fault
	Until time.Time // zero: until it is cleared
	Hits  int       // requests spoiled so far
}

// faults are the faults of a door, the oldest first.
type faults struct {
	some atomic.Bool // there are any: requests look no further without
	next func() uint32

	mu  sync.Mutex
	all []*activeFault
}

type activeFault struct {
	ActiveFault
	end *time.Timer // nil: until it is cleared
}

// Inject gives the door a fault. ErrFault.
func (d *Door) Inject(f Fault) (ActiveFault, error) {
	if err := f.check(); err != nil {
		return ActiveFault{}, err
	}
	a := &activeFault{ActiveFault: ActiveFault{Fault: f}}
	d.faults.mu.Lock()
	if len(d.faults.all) >= MaxFaults {
		d.faults.mu.Unlock()
		return ActiveFault{}, fmt.Errorf("%w: there are %d already", ErrFault, MaxFaults)
	}
	a.ID = d.faults.next()
	if f.For > 0 {
		a.Until = time.Now().Add(f.For)
		a.end = time.AfterFunc(f.For, func() { d.Heal(a.ID) })
	}
	d.faults.all = append(d.faults.all, a)
	d.faults.some.Store(true)
	out := a.ActiveFault
	d.faults.mu.Unlock()
	d.log.Info("fault injected", "id", out.ID, "kind", f.Kind.String())
	d.resync()
	return out, nil
}

// Heal takes a fault away and reports whether there was one; 0 takes all.
func (d *Door) Heal(id uint32) bool {
	healed := d.faults.remove(func(a *activeFault) bool { return id == 0 || a.ID == id })
	if healed {
		d.log.Info("fault healed", "id", id)
		d.resync()
	}
	return healed
}

// Faults lists the faults that the door has.
func (d *Door) Faults() (out []ActiveFault) {
	d.faults.mu.Lock()
	defer d.faults.mu.Unlock()
	for _, a := range d.faults.all {
		out = append(out, a.ActiveFault)
	}
	return out
}

// resync brings the lines in step with faults that have come or gone.
func (d *Door) resync() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncAll()
}

func (f *faults) remove(which func(*activeFault) bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := len(f.all)
	f.all = slices.DeleteFunc(f.all, func(a *activeFault) bool {
		gone := which(a)
		if gone && a.end != nil {
			a.end.Stop()
		}
		return gone
	})
	f.some.Store(len(f.all) > 0)
	return len(f.all) < before
}

// has reports whether there is a fault of this kind.
func (f *faults) has(k FaultKind) bool {
	if !f.some.Load() {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.all, func(a *activeFault) bool { return a.Kind == k })
}

// take counts one hit of the first fault that ok accepts, and gives it. A fault
// that has spoiled its number of requests goes.
func (f *faults) take(ok func(Fault) bool) (Fault, bool) {
	if !f.some.Load() {
		return Fault{}, false
	}
	f.mu.Lock()
	i := slices.IndexFunc(f.all, func(a *activeFault) bool { return ok(a.Fault) })
	if i < 0 {
		f.mu.Unlock()
		return Fault{}, false
	}
	a := f.all[i]
	a.Hits++
	out, id, done := a.Fault, a.ID, a.Count > 0 && a.Hits >= a.Count
	f.mu.Unlock()
	if done {
		f.remove(func(a *activeFault) bool { return a.ID == id })
	}
	return out, true
}
