package rmcp

import (
	"context"
	"crypto/sha256"
	"encoding/binary"

	"github.com/midplane-project/midplane/ipmb"
)

// Store keeps sessions where another process finds them when this one is gone,
// and remembers what was done for whom.
type Store interface {
	// Save stores a change whole, or not at all.
	Save(ctx context.Context, c Change) error
	// Done reports whether a request of this name was begun already.
	Done(instance string, id uint64) bool
}

// Change is what becomes of sessions.
type Change struct {
	Put  []Kept
	Gone []uint32
	// By is the request that does it, nil for none, and Answer what it is told.
	By     *ipmb.Request
	Answer []byte
}

// lookBack is how many packets a client may have sent since the one whose
// answer it did not get.
const lookBack = 16

// name gives a request the name under which it takes effect once, whoever
// serves it: of its session, what it says, and the number of the packet by which
// it came. A client that repeats it does so under a new number; where the first
// may have come to a process before this one, its name is looked for.
func (t *Sessions) name(s *session, one *repeat) (instance string, id uint64) {
	instance, id = string(s.name[:]), requestID(one.message, one.seq)
	for n := uint32(1); n <= lookBack; n++ {
		earlier := one.seq - n
		if earlier == 0 {
			break
		}
		if int32(earlier-s.first) >= 0 {
			continue // came here: then the repeats know it
		}
		if was := requestID(one.message, earlier); t.cfg.Store.Done(instance, was) {
			return instance, was
		}
	}
	return instance, id
}

func requestID(message []byte, seq uint32) uint64 {
	sum := sha256.Sum256(binary.LittleEndian.AppendUint32(message[:len(message):len(message)], seq))
	return binary.LittleEndian.Uint64(sum[:]) | 1 // 0 is no id
}

// AnswersPerPacket is how many packets at most answer one: the answer to Send
// Message, and that of who it was for.
const AnswersPerPacket = 2

// plusBase makes 1 the number of the first answer to packet 1.
const plusBase = ^uint32(0)

// base15 makes the number after outbound, that of the answer to the login, that of
// the first answer to packet inbound.
func base15(inbound, outbound uint32) uint32 { return outbound + 1 - AnswersPerPacket*inbound }

// sealAnswer wraps an answer for the console, the i-th to a packet. In a session
// that may go on elsewhere the number of an answer follows from that of the
// packet, so that whoever goes on takes up the numbers where they stopped: consoles
// drop what is more than a few ahead of the last (IPMI 2.0 §6.12.13). In RMCP+ both
// begin with 1; in IPMI 1.5 where the login says.
// The packets of a payload go between them: there is about one of the console's for
// each.
func (t *Sessions) sealAnswer(s *session, seq uint32, i int, payload []byte) []byte {
	if t.cfg.Store == nil || s.state != stateKept {
		return s.seal(PayloadIPMI, payload)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.base + AnswersPerPacket*seq + uint32(i)
	if s.keys == nil || i >= AnswersPerPacket || out == 0 { // which is no number: that one is lost
		return nil
	}
	if int32(out-s.out) > 0 || !s.mixed {
		s.out = out
	} else { // a packet of its payload's may have had it
		s.out++
	}
	return s.keys.appendSealed(nil, PayloadIPMI, s.console, s.out, payload)
}

// silent reports whether a response is none: only of 0x20, whose leader may not
// know any more whether it leads. The client asks again.
func (t *Sessions) silent(r ipmb.Response) bool {
	return t.cfg.Store != nil && r.Code == ipmb.ErrNoResponse
}
