package rmcp

import (
	"net/netip"
	"time"
)

// A guard bounds how many passwords can be tried, and keeps nobody out by it.
// Whoever guesses from the administrator's own address cannot be told from him
// before his proof is looked at; so there is no time in which a right proof is
// refused. Instead, after a few wrong ones of a user from a source:
//
//   - A wrong proof is answered late, and the later the more of them there were.
//     Its socket tries nothing else until then: it waits for its answers.
//   - Who takes a new socket for each guess shares a rate with all that do so.
//     What is above it is not looked at, nor lost: clients send it again, and
//     what comes again has a rate of its own, which one who only fires does not
//     use up.
//   - All sources together have a rate too, those that guessed already another
//     one than the others. Users at a source where they logged in lately need
//     none of it.
//
// All this goes by names, whether there are such users or not.
const (
	freeFailures  = 2
	firstDelay    = 250 * time.Millisecond
	maxDelay      = 8 * time.Second
	maxDelayShift = 5
	forgetTime    = 5 * time.Minute
	provenTime    = 24 * time.Hour
	againTime     = 500 * time.Millisecond // from a proof to its repetition

	maxFailures = 1024 // users at sources that are remembered
	maxProven   = 256
	maxWaiting  = 1024 // sockets that wait for an answer

	keyRate     = 10 // proofs a second of a user at a source, of either kind
	slowestRate = 1  // of those that come for the first time, after long guessing
	slowing     = 50 // failures that halve their rate
	allRate     = 20 // of all sources
	maxSaved    = 1  // seconds of a rate that may be saved up
)

// failureKey is who guesses whose password.
type failureKey struct {
	source netip.Addr
	name   string
}

type failure struct {
	count        int
	last         time.Time
	first, again tokens // proofs that come for the first time, and again
}

// guard is one table's.
type guard struct {
	failures map[failureKey]*failure
	proven   map[failureKey]time.Time
	waiting  map[netip.AddrPort]time.Time // until when an answer is held back
	all      [2][2]tokens                 // by whether the user failed at the source, and again
}

func newGuard() guard {
	return guard{
		failures: make(map[failureKey]*failure), proven: make(map[failureKey]time.Time),
		waiting: make(map[netip.AddrPort]time.Time),
	}
}

// admit reports whether a proof may be looked at now. refused is when the same
// one came and was not; zero: it did not come yet.
func (g *guard) admit(k failureKey, from netip.AddrPort, refused, now time.Time) bool {
	if until, ok := g.waiting[from]; ok {
		if now.Before(until) {
			return false
		}
		delete(g.waiting, from)
	}
	again, failed := index(!refused.IsZero() && now.Sub(refused) >= againTime), 0
	if f := g.failures[k]; f != nil && f.count > freeFailures && now.Sub(f.last) <= forgetTime {
		failed = 1
		if !f.take(again, now) {
			return false
		}
	}
	if at, ok := g.proven[k]; ok && now.Sub(at) < provenTime {
		return true
	}
	return g.all[failed][again].take(now, allRate, allRate*maxSaved)
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (f *failure) take(again int, now time.Time) bool {
	if again == 1 {
		return f.again.take(now, keyRate, keyRate)
	}
	rate := max(slowestRate, keyRate/(1+float64(f.count)/slowing))
	return f.first.take(now, rate, rate*maxSaved)
}

// wrong counts a wrong proof and gives the delay of its answer.
func (g *guard) wrong(k failureKey, from netip.AddrPort, now time.Time) time.Duration {
	f := g.failures[k]
	if f == nil {
		if len(g.failures) >= maxFailures {
			forgetOldest(g.failures, now, forgetTime, func(f *failure) time.Time { return f.last })
		}
		f = new(failure)
		g.failures[k] = f
	}
	if now.Sub(f.last) > forgetTime {
		f.count = 0
	}
	f.count, f.last = f.count+1, now
	if f.count <= freeFailures {
		return 0
	}
	delay := min(firstDelay<<min(f.count-freeFailures-1, maxDelayShift), maxDelay)
	if len(g.waiting) >= maxWaiting {
		forgetOldest(g.waiting, now, 0, itself)
	}
	g.waiting[from] = now.Add(delay)
	return delay
}

// right notes a right proof, which costs nothing. The failures stay: who has
// the password is not who guesses it.
func (g *guard) right(k failureKey, refused, now time.Time) {
	again := index(!refused.IsZero() && now.Sub(refused) >= againTime)
	if f := g.failures[k]; f != nil {
		[]*tokens{&f.first, &f.again}[again].left++
	}
	for i := range g.all {
		g.all[i][again].left++
	}
	if _, ok := g.proven[k]; !ok && len(g.proven) >= maxProven {
		forgetOldest(g.proven, now, provenTime, itself)
	}
	g.proven[k] = now
}

func itself(t time.Time) time.Time { return t }

// forgetOldest makes room in a full table: what is older than age goes, or else
// the oldest.
func forgetOldest[K comparable, V any](m map[K]V, now time.Time, age time.Duration, at func(V) time.Time) {
	var oldest K
	var when time.Time
	found := false
	for k, v := range m {
		t := at(v)
		if now.Sub(t) > age {
			delete(m, k)
			found = true
			continue
		}
		if when.IsZero() || t.Before(when) {
			oldest, when = k, t
		}
	}
	if !found {
		delete(m, oldest)
	}
}

// tokens let through so many a second, and so many at once after a while.
type tokens struct {
	left float64
	at   time.Time
}

func (b *tokens) take(now time.Time, rate, most float64) bool {
	if b.at.IsZero() {
		b.left = most
	} else {
		b.left = min(most, b.left+rate*now.Sub(b.at).Seconds())
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
