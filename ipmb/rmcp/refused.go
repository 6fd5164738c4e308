package rmcp

import (
	"bytes"
	"hash/maphash"
	"net/netip"
	"time"
)

// ipmitool begins anew by the same socket after a second, four times in all. Sockets that others take and leave
// have the same port again by chance, and with each try in this rhythm fewer of them.
const (
	tiers      = 4
	againFirst = 900 * time.Millisecond
	againLast  = 1600 * time.Millisecond
	rhythm     = 200 * time.Millisecond // by which one pause may differ from the one before
)

// How many sockets are remembered: all ports of an address, and as many others as can come in the time in which a
// client tries again. Each is kept in one set of few, whose oldest makes room.
const (
	refusedSets = 1 << 16
	refusedWays = 4
)

// refused are the sockets whose login was put off. They take 4 MB once there is one.
type refused struct {
	seed maphash.Seed
	sets [][refusedWays]refusal
}

// refusal is of one socket.
type refusal struct {
	socket uint64 // its hash; 0: of none
	last   uint32 // milliseconds
	pause  uint16 // before the last, in milliseconds; 0: it was the first
	tries  uint8  // in the rhythm, up to the last
}

// tier is how often a socket has tried as a client does, 0 for another one.
func (r *refused) tier(from netip.AddrPort, now time.Time) int {
	one := r.find(from)
	switch {
	case one == nil || !one.paused(now):
		return 0
	case !one.inRhythm(now):
		return 1 // what came before was another's, who had the port
	}
	return min(int(one.tries), tiers-1)
}

// since is the time from the last try to now.
func (o *refusal) since(now time.Time) time.Duration {
	return time.Duration(uint32(now.UnixMilli())-o.last) * time.Millisecond
}

// paused reports whether it tries again as late as a client does.
func (o *refusal) paused(now time.Time) bool {
	pause := o.since(now)
	return o.tries > 0 && pause >= againFirst && pause <= againLast
}

// inRhythm reports whether that was so before, too, and after as long a pause.
func (o *refusal) inRhythm(now time.Time) bool {
	before := time.Duration(o.pause) * time.Millisecond
	return o.paused(now) && (before == 0 || (o.since(now)-before).Abs() <= rhythm)
}

func (r *refused) add(from netip.AddrPort, now time.Time) {
	if r.sets == nil {
		r.seed, r.sets = maphash.MakeSeed(), make([][refusedWays]refusal, refusedSets)
	}
	one := r.find(from)
	switch {
	case one == nil:
		one = r.oldest(from, now)
		fallthrough
	case !one.paused(now):
		*one = refusal{socket: r.hash(from), tries: 1}
	case !one.inRhythm(now):
		one.tries = 1
		fallthrough
	default:
		one.tries, one.pause = min(one.tries+1, tiers), uint16(one.since(now)/time.Millisecond)
	}
	one.last = uint32(now.UnixMilli())
}

// remove forgets how often a socket tried.
func (r *refused) remove(from netip.AddrPort) {
	if one := r.find(from); one != nil {
		*one = refusal{}
	}
}

// find gives a socket that is remembered, nil if it is not.
func (r *refused) find(from netip.AddrPort) *refusal {
	if r.sets == nil {
		return nil
	}
	h := r.hash(from)
	set := &r.sets[h%refusedSets]
	for i := range set {
		if set[i].socket == h {
			return &set[i]
		}
	}
	return nil
}

// oldest gives the place of another socket.
func (r *refused) oldest(from netip.AddrPort, now time.Time) *refusal {
	set := &r.sets[r.hash(from)%refusedSets]
	out := &set[0]
	for i := range set {
		switch one := &set[i]; {
		case one.socket == 0:
			return one
		case one.since(now) > out.since(now):
			out = one
		}
	}
	return out
}

func (r *refused) hash(from netip.AddrPort) uint64 {
	return max(1, maphash.Comparable(r.seed, from))
}

// tier is that of a proof that was put off before, as FreeIPMI sends it: again after one second, two, and four.
// Nobody does so by chance.
func (s *session) tier(proof []byte, now time.Time) int {
	if !s.again(proof, now) {
		return 0
	}
	return min(s.login.patience+2, tiers-1)
}

func (s *session) again(proof []byte, now time.Time) bool {
	return s.login.putOff != nil && bytes.Equal(s.login.putOff, proof) && now.Sub(s.login.alive) >= againFirst
}

// putOff notes that a proof was not looked at.
func (t *Sessions) putOff(s *session, proof []byte, now time.Time) {
	switch l := s.login; {
	case s.again(proof, now):
		l.patience++
	case l.putOff != nil && bytes.Equal(l.putOff, proof): // too soon to say anything
		return
	default:
		l.putOff, l.patience = bytes.Clone(proof), 0
	}
	t.halfOpen.delay(s, now)
}
