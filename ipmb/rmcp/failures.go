package rmcp

import (
	"net/netip"
	"time"
)

// A wrong proof is answered late, and the later the more of them there were.
// A right one is answered at once whoever else guesses, so that nobody locks
// the administrator out, not even from his own address.
const (
	freeFailures  = 2
	firstDelay    = 250 * time.Millisecond
	maxDelay      = 8 * time.Second
	forgetTime    = 5 * time.Minute
	maxFailures   = 1024 // sources and users that are remembered
	maxDelayShift = 5
)

// failureKey is who guesses whose password.
type failureKey struct {
	source netip.Addr
	name   string
}

type failure struct {
	count int
	last  time.Time
}

type failures map[failureKey]failure

// add counts a wrong proof and gives the delay of its answer.
func (f failures) add(k failureKey, now time.Time) time.Duration {
	one := f[k]
	if now.Sub(one.last) > forgetTime {
		one.count = 0
	}
	one.count, one.last = one.count+1, now
	if _, ok := f[k]; !ok && len(f) >= maxFailures {
		f.forget(now)
	}
	f[k] = one
	if one.count <= freeFailures {
		return 0
	}
	return min(firstDelay<<min(one.count-freeFailures-1, maxDelayShift), maxDelay)
}

// forget makes room: what is old goes, or else the oldest.
func (f failures) forget(now time.Time) {
	var oldest failureKey
	for k, one := range f {
		if now.Sub(one.last) > forgetTime {
			delete(f, k)
			continue
		}
		if o, ok := f[oldest]; !ok || one.last.Before(o.last) {
			oldest = k
		}
	}
	if len(f) >= maxFailures {
		delete(f, oldest)
	}
}
