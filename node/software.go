package node

import (
	"context"
	"encoding/binary"
	"log/slog"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/redact"
)

// guestPatience is how long guest software may take to answer a LUN 2 request;
// Linux gives up on its own after ten seconds.
const guestPatience = 10 * time.Second

// software is the guest's software as other controllers see it: their requests
// to LUN 2 go into the receive message queue, its answers back to whoever asked.
type software struct {
	self   ipmb.Addr
	mail   *messages
	ledger *ledger
	log    *slog.Logger
	send   func(context.Context, ipmb.Message) // to the bus, or to this controller

	mu    sync.Mutex
	asked map[askedKey]*asked
}

// askedKey is what an answer of the guest's is matched by.
type askedKey struct {
	from  ipmb.Addr
	seq   uint8
	netFn ipmb.NetFn
	cmd   ipmb.Cmd
}

// asked is a request that guest software has not answered.
type asked struct {
	message ipmb.Message
	at      time.Time
	slot    int // in the ledger
}

func keyOf(f ipmb.Frame) askedKey { return askedKey{f.From, f.Seq, f.NetFn, f.Cmd} }

// ask puts a request into the queue, once however often its sender repeats it.
// It reports false when there is no room.
func (s *software) ask(m ipmb.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, now := keyOf(m.Frame), time.Now()
	if old := s.asked[k]; old != nil {
		if old.message.ID == m.ID && old.message.Instance == m.Instance && now.Sub(old.at) < guestPatience {
			return true
		}
		s.forget(k)
	}
	if len(s.asked) >= askLimit {
		s.expire(now)
	}
	if len(s.asked) >= askLimit {
		return false
	}
	s.asked[k] = &asked{m, now, s.ledger.add(recordAsked, appendAsked(nil, m, now))}
	if !s.mail.push(m.Frame, nil) {
		s.forget(k)
		return false
	}
	return true
}

// expire forgets what the guest will not answer any more.
func (s *software) expire(now time.Time) {
	for k, a := range s.asked {
		if now.Sub(a.at) >= guestPatience {
			s.forget(k)
		}
	}
}

func (s *software) forget(k askedKey) {
	s.ledger.drop(s.asked[k].slot)
	delete(s.asked, k)
}

// answer sends the answer of guest software to whoever asked. One that nobody
// waits for is dropped, as on the wire.
func (s *software) answer(ctx context.Context, f ipmb.Frame) {
	k := askedKey{f.To, f.Seq, f.NetFn.Request(), f.Cmd}
	s.mu.Lock()
	a := s.asked[k]
	if a != nil {
		s.forget(k)
	}
	s.mu.Unlock()
	if a == nil || time.Since(a.at) >= guestPatience {
		s.log.Debug("answer of the guest to nobody", "frame", redact.Text(f))
		return
	}
	m := a.message
	f.From, f.ToLUN, f.FromLUN = s.self, m.Frame.FromLUN, m.Frame.ToLUN
	f.Data = append([]byte(nil), f.Data...)
	s.send(ctx, ipmb.Message{ID: m.ID, Instance: m.Instance, Frame: f, Plane: m.Plane})
}

// resume takes the requests of an earlier process back.
func (s *software) resume(left []record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range left {
		if r.kind != recordAsked {
			continue
		}
		m, at, err := parseAsked(r.payload)
		if age := time.Since(at); err != nil || age < 0 || age >= guestPatience {
			s.ledger.drop(r.slot)
			continue
		}
		if k := keyOf(m.Frame); s.asked[k] != nil {
			s.forget(k)
		}
		s.asked[keyOf(m.Frame)] = &asked{m, at, r.slot}
	}
}

// reset forgets all requests.
func (s *software) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.asked {
		s.forget(k)
	}
}

// A record has the request's id, when it came in Unix nanoseconds, its plane,
// the length of its instance, the instance, and the frame without data.
const askedHeader = 18

func appendAsked(b []byte, m ipmb.Message, at time.Time) []byte {
	b = binary.LittleEndian.AppendUint64(b, m.ID)
	b = binary.LittleEndian.AppendUint64(b, uint64(at.UnixNano()))
	b = append(b, byte(m.Plane), byte(len(m.Instance)))
	b = append(b, m.Instance[:byte(len(m.Instance))]...)
	f := m.Frame
	f.Data = nil
	b, _ = f.AppendBinary(b) // fails for long data only
	return b
}

func parseAsked(b []byte) (m ipmb.Message, at time.Time, err error) {
	if len(b) < askedHeader || len(b) < askedHeader+int(b[17]) {
		return m, at, ipmb.ErrFrameShort
	}
	rest := b[askedHeader:]
	f, err := ipmb.ParseFrame(rest[b[17]:])
	if err != nil {
		return m, at, err
	}
	m = ipmb.Message{
		ID: binary.LittleEndian.Uint64(b), Instance: string(rest[:b[17]]), Frame: f, Plane: ipmb.Plane(b[16]),
	}
	return m, time.Unix(0, int64(binary.LittleEndian.Uint64(b[8:]))), nil
}
