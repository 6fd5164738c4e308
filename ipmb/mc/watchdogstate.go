package mc

import "time"

// watchdogState is a watchdog timer at a moment. It changes by next only.
type watchdogState struct {
	watchdogSettings
	set     bool // Set Watchdog Timer came
	running bool
	warned  bool // the pre-timeout interrupt of this countdown was raised
	expired byte // expiration flags, bit n for use n

	// left is what remained of the countdown at the time at. A stopped timer
	// keeps it, and so does one whose system stands still.
	left time.Duration
	at   time.Time

	paused bool // the system stands still, and its time with it
	found  bool // what the system does is known; before, nothing counts or happens
}

// watchdogTick is the unit of countdowns (IPMI 2.0 §27.6).
const watchdogTick = 100 * time.Millisecond

func (s watchdogSettings) whole() time.Duration { return time.Duration(s.countdown) * watchdogTick }

func (s watchdogSettings) interval() time.Duration { return time.Duration(s.warning) * time.Second }

// watchdogEvent is what a watchdog timer can be told.
type watchdogEvent struct {
	kind   watchdogEventKind
	set    watchdogSet // of watchdogSetting
	paused bool        // of watchdogSystem
}

type watchdogEventKind uint8

const (
	watchdogTime        watchdogEventKind = iota // time has passed
	watchdogSetting                              // Set Watchdog Timer
	watchdogFeed                                 // Reset Watchdog Timer
	watchdogSystem                               // the system runs or stands still
	watchdogSystemReset                          // it was reset by other means
	watchdogSystemOff                            // it lost its power
)

// watchdogEffect is something to do, in this order.
type watchdogEffect struct {
	interrupt WatchdogInterrupt
	log       bool // make an event of offset and data2
	offset    byte
	data2     byte
	action    WatchdogAction
	use       WatchdogUse
}

// next is the timer after an event, and what is to be done. Time that passed
// comes before the event: who feeds a timer too late has not fed it.
func (s watchdogState) next(e watchdogEvent, now time.Time) (watchdogState, []watchdogEffect) {
	s, due := s.pass(now)
	switch e.kind {
	case watchdogSetting:
		s = s.take(e.set, now)
	case watchdogFeed:
		if s.feedable() {
			s = s.begin(now)
		}
	case watchdogSystem:
		s = s.follow(e.paused, now)
	case watchdogSystemReset:
		// The specification leaves it to the firmware to stop what an operating
		// system left running. A VM's firmware does not know its controller, so
		// it is done here; otherwise Linux's two minutes for a reboot would run
		// into the next system. The other uses are there to watch a boot.
		s.running = s.running && s.use != WatchdogOS
	case watchdogSystemOff:
		s.running = false // nothing is there to be watched
	}
	s, more := s.pass(now)
	return s, append(due, more...)
}

// pass counts the time since the last look, and expires what has come due.
func (s watchdogState) pass(now time.Time) (watchdogState, []watchdogEffect) {
	if !s.found {
		return s, nil
	}
	s.left, s.at = s.remaining(now), now
	if !s.running || s.paused {
		return s, nil
	}
	var due []watchdogEffect
	if s.interrupt != WatchdogNoInterrupt && !s.warned && s.left <= s.interval() {
		s.warned = true
		due = append(due, s.effect(s.interrupt, WatchdogNoAction, WatchdogWarned))
	}
	if s.left > 0 {
		return s, due
	}
	due = append(due, s.effect(WatchdogNoInterrupt, s.action, byte(s.action)))
	s.running = false
	s.expired |= 1 << s.use
	s.dontLog = false // logging is only ever switched off for one time (§27.3)
	return s, due
}

func (s watchdogState) effect(i WatchdogInterrupt, a WatchdogAction, offset byte) watchdogEffect {
	return watchdogEffect{
		interrupt: i, action: a, log: !s.dontLog, offset: offset, use: s.use,
		data2: byte(s.interrupt)<<watchdogInterruptShift | byte(s.use),
	}
}

// remaining is what is left of the countdown.
func (s watchdogState) remaining(now time.Time) time.Duration {
	if !s.running || s.paused {
		return s.left
	}
	return max(s.left-max(now.Sub(s.at), 0), 0)
}

// take does Set Watchdog Timer. It stops the timer, or has it go on from the
// new countdown.
func (s watchdogState) take(set watchdogSet, now time.Time) watchdogState {
	running := s.running && set.dontStop
	s.watchdogSettings, s.set = set.watchdogSettings, true
	s.expired &^= set.clear
	s = s.begin(now)
	s.running = running
	return s
}

// begin starts the countdown.
func (s watchdogState) begin(now time.Time) watchdogState {
	s.running, s.warned, s.left, s.at = true, false, s.whole(), now
	return s
}

// feedable reports whether Reset Watchdog Timer starts the countdown. Once the
// system was warned only Set Watchdog Timer saves it (§27.5).
func (s watchdogState) feedable() bool { return s.set && !s.stuck() }

func (s watchdogState) stuck() bool { return s.running && s.warned }

// follow notes whether the system stands still. The time in which nobody
// watched counts if the system ran before and runs now; a pause that began or
// ended in it may have been all of it.
func (s watchdogState) follow(paused bool, now time.Time) watchdogState {
	if !s.found && (s.paused || paused) {
		s.at = now
	}
	s.found, s.paused = true, paused
	return s
}

// wake is how long the timer can be left alone, false if for ever.
func (s watchdogState) wake() (time.Duration, bool) {
	if !s.running || s.paused || !s.found {
		return 0, false
	}
	if s.interrupt != WatchdogNoInterrupt && !s.warned {
		return s.left - s.interval(), true
	}
	return s.left, true
}
