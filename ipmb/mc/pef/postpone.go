package pef

import "time"

// Values of the PEF postpone timer (IPMI 2.0 §30.2).
const (
	postponeOff   = 0x00
	postponeFor   = 0xFE // filtering is off until software or a restart of the system says otherwise
	postponeQuery = 0xFF
)

// postpone is the PEF postpone timer: while it is armed, software has the time
// it gives to take care of an event before the filters do. It counts only while
// there is an event that software has not processed.
type postpone struct {
	value    byte      // seconds; postponeOff or postponeFor
	deadline time.Time // zero while it does not count
}

// arm sets the timer.
func (p *postpone) arm(value byte, now time.Time, waiting bool) {
	*p = postpone{value: value}
	p.follow(now, waiting)
}

// follow starts to count when an event waits, and stops when software has
// processed the last one.
func (p *postpone) follow(now time.Time, waiting bool) {
	switch {
	case p.value == postponeOff || p.value == postponeFor || !waiting:
		p.deadline = time.Time{}
	case p.deadline.IsZero():
		p.deadline = now.Add(time.Duration(p.value) * time.Second)
	}
}

// tick disarms the timer when it has run out, and reports that.
func (p *postpone) tick(now time.Time) bool {
	if p.deadline.IsZero() || now.Before(p.deadline) {
		return false
	}
	*p = postpone{}
	return true
}

// left is the present countdown value.
func (p *postpone) left(now time.Time) byte {
	if p.deadline.IsZero() {
		return p.value
	}
	return byte(max(0, (p.deadline.Sub(now)+time.Second-1)/time.Second))
}
