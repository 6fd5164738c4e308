package rmcp

import (
	"bytes"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// login is a session before its RAKP Message 4, or that of IPMI 1.5 before it is
// activated.
type login struct {
	begun     time.Time
	alive     time.Time // when its client last went on with it
	suite     mc.CipherSuite
	algorithm algorithm
	granted   ipmb.Privilege
	random    [randomLen]byte // the controller's
	first     []byte          // RAKP Message 1 as it came; nil: it did not yet
	answer    []byte          // to it
	request   rakp1
	account   mc.Account
	proof     []byte // that RAKP Message 3 must have
	sik       []byte // the session's integrity key
	noKey     error  // why there is none
	genuine   bool   // there is such an account
	failed    bool   // one wrong proof ends it
	putOff    []byte // a proof that was not looked at yet
	patience  int    // how often its client sent it again
}

// session is one console's, from its Open Session on. The table's lock guards
// what is not under mu.
type session struct {
	id     uint32 // the controller's
	handle uint8  // 0: not logged in yet
	source netip.Addr
	login  *login      // nil: that is over
	open   openRequest // what it began with
	v15    *challenge  // of an IPMI 1.5 session; nil: RMCP+
	turn   *turn       // among the logins under way

	// From here on only once it is logged in.
	console   uint32
	user      uint8
	limit     ipmb.Privilege // what it may raise itself to
	stamp     uint64         // of how its user logged in
	last      time.Time
	third     []byte // RAKP Message 3 as it came
	fourth    []byte // its answer
	repeats   repeats
	busy      int // requests under way
	privilege ipmb.Privilege
	peer      netip.AddrPort
	door      *Door    // by which it last asked
	asked     []*asked // what software has not answered
	in        window
	first     uint32 // the first packet of it that came to this process
	state     keepState
	told      bool // its client was, that it is logged in; by an answer with toldTag
	toldTag   int
	name      [nameLen]byte // with a store
	secret    []byte        // its integrity key, for the store; of IPMI 1.5 the password
	base      uint32        // of the numbers of answers, with a store; see sealAnswer
	payload   uint8         // the instance of serial over LAN that the store has of it
	serial    atomic.Pointer[activeSOL]

	mu   sync.Mutex
	keys codec // nil once it ended
	out  uint32
	// mixed: packets of serial over LAN have numbers between those of answers.
	mixed bool
	gone  chan struct{} // closed at the end; nil: nobody waits for it
}

// seal wraps a payload for the console; nil once the session ended.
func (s *session) seal(t PayloadType, payload []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		return nil
	}
	if s.out++; s.out == 0 {
		s.out = 1
	}
	s.mixed = s.mixed || t == PayloadSOL
	return s.keys.appendSealed(make([]byte, 0, sealedLen(len(payload))), t, s.console, s.out, payload)
}

// reach lets the numbers of what follows be those that follow a packet's; see
// [Sessions.sealAnswer].
func (s *session) reach(seq uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before := AnswersPerPacket * (seq - 1); int32(before-s.out) > 0 {
		s.out = before
	}
}

// number is the last that a packet to the console had.
func (s *session) number() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out
}

// unknownNumbers is how many the process before may have used after the last that
// is known. Consoles take those that are not more than 8 ahead (FreeIPMI); what
// they drop because they had its number comes again with a later one.
const unknownNumbers = 4

// follow lets the numbers of what is sent be those that follow one of another
// process's: the console may say nothing for long, and drops what is behind.
func (s *session) follow(number uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number += unknownNumbers; number != unknownNumbers && int32(number-s.out) > 0 {
		s.out = number
	}
}

// sealAs wraps a message with a sequence number that is not the session's next.
func (s *session) sealAs(seq uint32, message []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		return nil
	}
	return s.keys.appendSealed(nil, PayloadIPMI, s.console, seq, message)
}

// unseal reads a packet of the session's.
func (s *session) unseal(p packet) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		return nil, errFrame
	}
	return s.keys.open(p)
}

// wipe forgets the keys: nothing more is read or sent.
func (s *session) wipe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys != nil {
		s.keys.forget()
		clear(s.secret)
		s.keys = nil
		if s.gone != nil {
			close(s.gone)
		}
	}
}

// ended gives a channel that is closed when the session is over.
func (s *session) ended() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone == nil {
		s.gone = make(chan struct{})
		if s.keys == nil {
			close(s.gone)
		}
	}
	return s.gone
}

// Clients repeat a message as it is, with the same sequence number of its own,
// within a few seconds.
const (
	repeatTime  = 5 * time.Second
	repeatCount = 8
)

// repeat is a message that may come again, and its answers.
type repeat struct {
	message []byte
	seq     uint32    // of the packet that it came by
	at      time.Time // when it came, or was done
	answers [][]byte  // nil: it is under way
}

// repeats are a session's last messages, but for those that may be done again.
type repeats []*repeat

// find gives the earlier one of a message, or enters it.
func (r *repeats) find(message []byte, now time.Time) (_ *repeat, again bool) {
	for _, one := range *r {
		if bytes.Equal(one.message, message) && (one.answers == nil || now.Sub(one.at) < repeatTime) {
			return one, true
		}
	}
	one := &repeat{message: bytes.Clone(message), at: now}
	if len(*r) >= repeatCount {
		r.makeRoom()
	}
	*r = append(*r, one)
	return one, false
}

// done notes the answers to a message; nil lets a repeat be done again.
func (r *repeats) done(one *repeat, answers [][]byte, now time.Time) {
	if one.answers, one.at = answers, now; answers == nil {
		*r = slices.DeleteFunc(*r, func(other *repeat) bool { return other == one })
	}
}

// makeRoom forgets the oldest message that is done. Those under way stay: there
// are fewer of them than the caller lets in.
func (r *repeats) makeRoom() {
	if i := slices.IndexFunc(*r, func(one *repeat) bool { return one.answers != nil }); i >= 0 {
		*r = slices.Delete(*r, i, i+1)
	}
}
