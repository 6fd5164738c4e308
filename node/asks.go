package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/redact"
)

const (
	// askLimit bounds the guest's requests to other controllers that wait for
	// their answers, and those of others to its software. What comes above it
	// is answered C0h, node busy.
	askLimit = 256
	// answeredLimit bounds those of the guest's requests that are kept after
	// their answers. Linux has 64 numbers.
	answeredLimit = 128
)

// asks are the guest's requests to other controllers. Each gets its answer in
// the receive message queue, under the number that the guest chose. On the bus
// it has the node's own address, number and 64-bit id, whatever the guest wrote
// into rqSA: ipmitool rewrites that freely.
//
// They are in the ledger until their numbers are used again, so that after a
// restart they go on under the same ids, and their retries are known. One with a
// password or a key is not: it must not stay on a disk, and to set it twice does
// no harm, which is all that a retry can then do.
type asks struct {
	self      ipmb.Addr
	shelf     string
	instance  string
	out       bus
	requester *ipmb.Requester
	mail      *messages
	ledger    *ledger
	log       *slog.Logger
	life      context.Context             // ends with the controller
	spawn     func(func(context.Context)) // starts a goroutine that the controller waits for

	mu       sync.Mutex
	retries  ipmb.RetryFilter
	latest   map[askKey]*ask // under each number of the guest
	open     int             // of these, not answered
	answered []*ask          // the oldest first
}

// askKey is how the guest tells its requests apart.
type askKey struct {
	target ipmb.Addr
	lun    ipmb.LUN // of the guest's software, 2 with Linux
	seq    uint8
}

// ask is one request.
type ask struct {
	key      askKey
	message  ipmb.Message // as it stands on the bus
	slot     int          // in the ledger
	answered bool
	cancel   context.CancelFunc // nil: nobody follows it
}

// send starts a request, which is under way when it returns nil.
func (a *asks) send(f ipmb.Frame, o ipmb.Origin) error {
	if f.To != a.self && a.out.Absent(f.To) {
		return ipmb.ErrDestination
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	k := askKey{f.To, f.FromLUN, f.Seq}
	if a.retries.Seen(a.who(k), f.Seq, retryKey(f), time.Now()) {
		a.mail.remind() // it may be the interrupt that was lost
		return nil      // it is on its way; its answer will do for both
	}
	a.supersede(k)
	call, err := a.start(f, o)
	if err != nil {
		a.retries.Forget(a.who(k), f.Seq, retryKey(f))
		return err
	}
	began := time.Now()
	m := call.Message()
	a.enter(&ask{key: k, message: m, slot: a.keep(k, m, began)}, call, began)
	return nil
}

func (a *asks) start(f ipmb.Frame, o ipmb.Origin) (*ipmb.Call, error) {
	if a.open >= askLimit {
		return nil, ipmb.ErrBusy
	}
	return a.requester.Start(f.To, f.Request(a.originOnBus(o.Speaker, f.FromLUN)))
}

// originOnBus is what a message of the own guest claims on the bus: operator at
// most, and the guest policy besides.
func (a *asks) originOnBus(s ipmb.Speaker, l ipmb.LUN) ipmb.Origin {
	return ipmb.Origin{
		Speaker: s, Door: ipmb.DoorIPMB, Channel: ipmb.ChannelIPMB,
		Privilege: ipmb.PrivilegeOperator, Shelf: a.shelf, Source: a.self, SourceLUN: l,
	}
}

func (a *asks) who(k askKey) ipmb.Requestor {
	return ipmb.Requestor{Target: k.target, Source: a.self, LUN: k.lun}
}

// retryKey is all that a retry repeats.
func retryKey(f ipmb.Frame) []byte {
	return append([]byte{byte(f.NetFn)<<2 | byte(f.ToLUN), byte(f.Cmd)}, f.Data...)
}

// supersede ends the request that had the number before: the guest has its
// answer, or would take it for that of the new one.
func (a *asks) supersede(k askKey) {
	old := a.latest[k]
	if old == nil {
		return
	}
	delete(a.latest, k)
	a.ledger.drop(old.slot)
	if !old.answered {
		a.open--
		old.cancel()
	}
}

// enter follows a request until it is answered or the guest has given it up.
func (a *asks) enter(k *ask, call *ipmb.Call, began time.Time) {
	ctx, cancel := context.WithDeadline(a.life, began.Add(ipmb.RetryWindow))
	k.cancel = cancel
	a.latest[k.key] = k
	a.open++
	a.spawn(func(context.Context) {
		defer cancel()
		answer, err := call.Wait(ctx, ipmb.LinuxRhythm)
		if ipmb.CodeOf(err) == ipmb.ErrDestination {
			answer, err = ipmb.Response{Code: ipmb.ErrDestination}, nil // nobody will answer: say so rather than let the guest wait
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		switch {
		case a.latest[k.key] != k: // superseded
		case err == nil:
			a.answer(k, answer)
		case a.life.Err() == nil:
			a.log.Warn("no answer for the guest", "frame", redact.Text(k.message.Frame), "err", err)
			a.fail(k)
		} // else the next process goes on with it
	})
}

// answer gives the guest its answer. One for which the queue has no room is
// lost, and the guest's retry is a new request.
func (a *asks) answer(k *ask, r ipmb.Response) {
	reply := k.message.Frame.Reply(r)
	reply.Seq = k.key.seq
	if !a.mail.push(reply, a.fetched(k)) {
		a.log.Warn("receive queue full: answer dropped", "frame", redact.Text(reply))
		a.fail(k)
		return
	}
	a.open--
	a.ledger.mark(k.slot)
	a.done(k)
}

// fetched gives what to do when the guest has fetched its answer: only then
// has the number come to rest. Until then it can only repeat the request.
func (a *asks) fetched(k *ask) func(time.Time) {
	return func(at time.Time) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.latest[k.key] == k {
			a.retries.Done(a.who(k.key), k.key.seq, at)
		}
	}
}

// refetched is fetched for an answer that an earlier process put into the
// queue: the request is the one that has the number by then.
func (a *asks) refetched(k askKey) func(time.Time) {
	return func(at time.Time) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if one := a.latest[k]; one != nil && one.answered {
			a.retries.Done(a.who(k), k.seq, at)
		}
	}
}

// done keeps an answered request, and drops the oldest of them.
func (a *asks) done(k *ask) {
	k.answered = true
	a.answered = append(a.answered, k)
	if len(a.answered) <= answeredLimit {
		return
	}
	oldest := a.answered[0]
	a.answered = a.answered[1:]
	if a.latest[oldest.key] == oldest {
		a.supersede(oldest.key)
	}
}

// fail forgets a request that gets no answer, so that its retry is heard.
func (a *asks) fail(k *ask) {
	a.retries.Forget(a.who(k.key), k.key.seq, retryKey(k.message.Frame))
	a.supersede(k.key)
}

// resume goes on with the requests that an earlier process left, oldest first.
// waiting are the answers that the guest may not have fetched.
func (a *asks) resume(left []record, waiting map[askKey]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range left {
		if r.kind == recordAsk && !a.resumeOne(r, waiting, time.Now()) {
			a.ledger.drop(r.slot)
		}
	}
}

func (a *asks) resumeOne(r record, waiting map[askKey]bool, now time.Time) bool {
	k, m, began, err := a.parse(r.payload)
	answered := r.marked || waiting[k] // a kill may come between the answer and its mark
	limit := ipmb.RetryWindow
	if answered { // at the end of it, perhaps
		limit += ipmb.CrossingWindow
	}
	if age := now.Sub(began); err != nil || age < 0 || age >= limit {
		return false
	}
	a.supersede(k)
	one := &ask{key: k, message: m, slot: r.slot}
	if answered {
		a.latest[k] = one
		a.retries.Seen(a.who(k), k.seq, retryKey(m.Frame), began)
		if !waiting[k] {
			a.retries.Done(a.who(k), k.seq, now)
		}
		a.done(one)
		return true
	}
	call, err := a.requester.Continue(m)
	if err != nil {
		return false
	}
	a.retries.Seen(a.who(k), k.seq, retryKey(m.Frame), began)
	a.enter(one, call, began)
	return true
}

// answerKey is the request that a message in the receive queue answers, if it
// is an answer.
func (a *asks) answerKey(letter []byte) (askKey, bool) {
	if len(letter) == 0 || letter[0]&channelMask != ipmb.ChannelIPMB {
		return askKey{}, false
	}
	f, err := ipmb.ParseFrame(append([]byte{byte(a.self)}, letter[1:]...))
	if err != nil || !f.IsResponse() {
		return askKey{}, false
	}
	return askKey{f.From, f.ToLUN, f.Seq}, true
}

// numbers gives when each request was last made, in the ledger's order.
func (a *asks) numbers(left []record) map[askKey]uint64 {
	out := make(map[askKey]uint64)
	for _, r := range left {
		if r.kind != recordAsk {
			continue
		}
		if k, _, _, err := a.parse(r.payload); err == nil {
			out[k] = r.number // they come in this order
		}
	}
	return out
}

// reset forgets all requests and the numbers that they had.
func (a *asks) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k := range a.latest {
		a.supersede(k)
	}
	a.answered = nil
	a.retries = ipmb.RetryFilter{}
}
