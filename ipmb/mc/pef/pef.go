package pef

import (
	"context"
	"log/slog"
	"time"

	"github.com/midplane-project/midplane/ipmb/mc"
)

// Target is the system that actions are taken on.
type Target interface {
	PowerOff(context.Context) error
	PowerCycle(context.Context) error
	Reset(context.Context) error
	NMI(context.Context) error
}

// Config is what PEF needs of its controller.
type Config struct {
	Records mc.Records
	Log     Log
	Target  Target
	Network Network
	Source  Source
	// Sensor is the number of the system event sensor, which reports actions.
	Sensor byte
	// Report logs an event of the controller's own, given from its revision to
	// event data 3, and tells Logged of it.
	Report func(ctx context.Context, body []byte) error
	// Spawn runs f in a goroutine that the controller waits for.
	Spawn  func(f func(context.Context))
	Logger *slog.Logger
}

// pendingLimit is how many events wait while filtering is postponed. Of more,
// the oldest go unfiltered: the log does not hold them much longer either.
const pendingLimit = 4096

// PEF filters the events of one controller.
type PEF struct {
	Config
	wake  chan struct{} // one slot: there is something to do
	begun time.Time     // for the uptime in traps

	mu lock
	config
	processed
	progress  byte // parameter 0
	newest    uint16
	pending   []Event
	filtering bool   // events that were pending
	added     uint16 // record that is to be skipped once they have been filtered
	postpone  postpone
	heldTill  time.Time // after a start of the system
	alertTill time.Time // likewise, for alerts
	sequence  uint16    // of the last trap
	awaited   map[acknowledgement]chan struct{}
	alerts    int // under way
	immediate byte
}

// New makes a PEF of what is in its records. Run does the work.
func New(c Config) (*PEF, error) {
	stored, err := loadConfig(c.Records)
	if err != nil {
		return nil, err
	}
	p := &PEF{
		Config: c, mu: newLock(), config: *stored, processed: processed{idNone, idNone, idNone},
		wake: make(chan struct{}, 1), begun: time.Now(), awaited: make(map[acknowledgement]chan struct{}),
	}
	return p, p.restore(context.Background())
}

const (
	recordPostpone = "pef/postpone"
	recordSequence = "pef/sequence"
)

// restore takes up what an earlier process left.
func (p *PEF) restore(ctx context.Context) (err error) {
	if err := load(p.Records, recordProcessed, processedLen, p.processed.take); err != nil {
		return err
	}
	if err := load(p.Records, recordSequence, 2, p.takeSequence); err != nil {
		return err
	}
	if p.newest, err = newest(ctx, p.Log); err != nil {
		return err
	}
	if p.enabled() {
		if err := p.findPending(ctx); err != nil {
			return err
		}
	}
	return load(p.Records, recordPostpone, 1, func(v []byte) error {
		p.postpone.arm(v[0], time.Now(), p.waiting())
		return nil
	})
}

// findPending finds the events that no earlier process has filtered, and keeps
// from where in the log they are.
func (p *PEF) findPending(ctx context.Context) (err error) {
	before := p.processed
	if p.pending, err = p.processed.rest(ctx, p.Log); err != nil || p.processed == before {
		return err
	}
	return p.Records.Put(recordProcessed, p.processed.record())
}

func (p *PEF) enabled() bool { return p.control&controlEnabled != 0 }

// waiting reports whether there is an event that software has not processed.
func (p *PEF) waiting() bool { return p.newest != idNone && p.newest != p.software }

// begin has filtering begin with the next event.
func (p *PEF) begin() error {
	at, err := newest(context.Background(), p.Log)
	if err != nil {
		return err
	}
	next := p.processed
	next.reached = at
	if err := p.Records.Put(recordProcessed, next.record()); err != nil {
		return err
	}
	p.processed, p.pending = next, nil
	return nil
}

// Logged takes an event after it was logged, or tried to be: its record has
// id 0 where logging is off.
func (p *PEF) Logged(r mc.SELEntry) {
	e, ok := eventOf(r)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.ID != idNoLog {
		p.newest = e.ID
	}
	p.postpone.follow(time.Now(), p.waiting())
	if p.enabled() {
		if len(p.pending) == pendingLimit {
			p.Logger.Warn("event left out by PEF, too many wait", "record", p.pending[0].ID)
			p.pending = p.pending[1:]
		}
		p.pending = append(p.pending, e)
	}
	p.notify()
}

// Added takes note of a record that software added to the log. It is none of
// the events, and must not pass for one after a restart.
func (p *PEF) Added(id uint16) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.enabled():
		return nil
	case p.filtering || len(p.pending) > 0:
		p.added = id
		return nil
	}
	next := p.processed
	next.skip(id)
	if err := p.Records.Put(recordProcessed, next.record()); err != nil {
		return err
	}
	p.processed = next
	return nil
}

// System says that the system was powered off, or on is set, started or reset.
// That ends a postponement, and a start begins the startup delays.
func (p *PEF) System(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.progress = setComplete
	if err := p.armLocked(postponeOff); err != nil {
		p.Logger.Error("PEF postpone timer not stored", "err", err)
	}
	now := time.Now()
	if on && p.control&controlStartupDelay != 0 {
		p.heldTill = now.Add(time.Duration(p.delay) * time.Second)
	}
	if on && p.control&controlAlertStartupDelay != 0 {
		p.alertTill = now.Add(time.Duration(p.alertDelay) * time.Second)
	}
	p.notify()
}

func (p *PEF) notify() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
