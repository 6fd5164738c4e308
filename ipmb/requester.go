package ipmb

import (
	"bytes"
	"context"
	"sync"
	"time"
)

// Rhythm is how long a requester waits after each try; its length is the
// number of tries.
type Rhythm []time.Duration

// Rhythms.
var (
	// LinuxRhythm is that of ipmi_msghandler.c: five tries, one to two seconds each.
	LinuxRhythm = Rhythm{2 * time.Second, 2 * time.Second, 2 * time.Second, 2 * time.Second, 2 * time.Second}
	// ControllerRhythm is for a controller's own requests.
	ControllerRhythm = Rhythm{time.Second, time.Second, time.Second}
)

// Requester makes requests on a bus: it draws sequence numbers per target,
// resends in its rhythm with the same id, and matches answers by id.
type Requester struct {
	self     Addr
	instance string
	bus      Bus

	mu      sync.Mutex
	nextID  uint64
	targets map[Addr]*seqAllocator
	pending map[uint64]*pendingRequest
}

type seqAllocator struct {
	used [MaxSequence]bool
	next uint8
}

type pendingRequest struct {
	msg    Message
	answer chan Response // one slot
	again  chan struct{} // one slot
}

// NewRequester makes a requester at address self. firstID must be higher than
// any id that this instance used before it was restarted.
func NewRequester(bus Bus, self Addr, instance string, firstID uint64) *Requester {
	return &Requester{
		self: self, instance: instance, bus: bus, nextID: firstID,
		targets: make(map[Addr]*seqAllocator), pending: make(map[uint64]*pendingRequest),
	}
}

// Do sends req to the controller at address to and waits for its answer,
// trying as often as rhythm says. Errors: C0h when all 64 sequence numbers are
// in flight, what the bus refused, C3h after the last try, or ctx's error.
func (r *Requester) Do(ctx context.Context, to Addr, req *Request, rhythm Rhythm) (Response, error) {
	c, err := r.Start(to, req)
	if err != nil {
		return Response{}, err
	}
	return c.Wait(ctx, rhythm)
}

// Call is a request that has its number and id. Nothing is sent before Wait,
// which must be called.
type Call struct {
	r *Requester
	p *pendingRequest
}

// Start begins what Do does in one. C0h when all 64 numbers are in flight.
func (r *Requester) Start(to Addr, req *Request) (*Call, error) {
	p, err := r.begin(to, req)
	if err != nil {
		return nil, err
	}
	return &Call{r, p}, nil
}

// Continue goes on with the request of a Call that an earlier process of the
// same instance left, under the same id, so that it is not done twice. C0h
// when its number is in flight again already.
func (r *Requester) Continue(m Message) (*Call, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.allocator(m.Frame.To)
	if a.used[m.Frame.Seq&seqMask] || r.pending[m.ID] != nil {
		return nil, ErrBusy
	}
	a.used[m.Frame.Seq&seqMask] = true
	r.nextID = max(r.nextID, m.ID+1)
	return &Call{r, r.enter(m)}, nil
}

// Message is the request as it stands on the bus.
func (c *Call) Message() Message { return c.p.msg }

// Wait sends the request and waits for its answer, as Do does.
func (c *Call) Wait(ctx context.Context, rhythm Rhythm) (Response, error) {
	defer c.r.end(c.p)
	for _, wait := range rhythm {
		if err := c.r.bus.Send(ctx, c.p.msg); err != nil {
			return Response{}, err
		}
		if answer, ok, err := c.r.await(ctx, c.p, wait); ok || err != nil {
			return answer, err
		}
	}
	return Response{}, ErrTimeout
}

// await waits for the answer until the try's time is over; a call of Resend
// meanwhile sends the message again and lets the try go on.
func (r *Requester) await(ctx context.Context, p *pendingRequest, wait time.Duration) (Response, bool, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case answer := <-p.answer:
			return answer, true, nil
		case <-p.again:
			if err := r.bus.Send(ctx, p.msg); err != nil {
				return Response{}, false, err
			}
		case <-timer.C:
			return Response{}, false, nil
		case <-ctx.Done():
			return Response{}, false, ctx.Err()
		}
	}
}

func (r *Requester) begin(to Addr, req *Request) (*pendingRequest, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seq, ok := r.allocator(to).take()
	if !ok {
		return nil, ErrBusy
	}
	id := r.nextID
	r.nextID++
	o := req.Origin
	o.Source, o.ID, o.Instance = r.self, id, r.instance
	own := *req
	own.Data = bytes.Clone(req.Data) // the bus may hold the message longer than the caller his buffer
	return r.enter(Message{
		ID: id, Instance: r.instance, Origin: o,
		Frame: RequestFrame(to, r.self, o.SourceLUN, seq, &own),
	}), nil
}

// allocator gives the sequence numbers of a target. The caller has r.mu.
func (r *Requester) allocator(to Addr) *seqAllocator {
	t := r.targets[to]
	if t == nil {
		t = &seqAllocator{}
		r.targets[to] = t
	}
	return t
}

// enter makes m pending. The caller has r.mu.
func (r *Requester) enter(m Message) *pendingRequest {
	p := &pendingRequest{msg: m, answer: make(chan Response, 1), again: make(chan struct{}, 1)}
	r.pending[m.ID] = p
	return p
}

func (r *Requester) end(p *pendingRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pending, p.msg.ID)
	r.targets[p.msg.Frame.To].used[p.msg.Frame.Seq] = false
}

// Deliver hands over a response from the bus. It reports false, and does
// nothing, when no request waits for it: it came late, or is not ours.
func (r *Requester) Deliver(m Message) bool {
	answer, ok := m.Frame.Response()
	if !ok || m.Instance != r.instance {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pending[m.ID]
	if p == nil || !answers(m.Frame, p.msg.Frame) {
		return false
	}
	select {
	case p.answer <- answer:
	default: // answered before: a resend crossed the first answer
	}
	return true
}

// answers reports whether rs is the response to rq by all that a frame tells.
func answers(rs, rq Frame) bool {
	return rs.From == rq.To && rs.To == rq.From && rs.NetFn == rq.NetFn.Response() &&
		rs.Cmd == rq.Cmd && rs.Seq == rq.Seq && rs.FromLUN == rq.ToLUN && rs.ToLUN == rq.FromLUN
}

// Resend sends again at once all that is pending for a target; a node calls it
// when a new leader answers at 0x20.
func (r *Requester) Resend(to Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pending {
		if p.msg.Frame.To != to {
			continue
		}
		select {
		case p.again <- struct{}{}:
		default:
		}
	}
}

// Pending is the number of requests that wait for an answer.
func (r *Requester) Pending() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pending)
}

// take draws the next free sequence number, round the ring as Linux does, so
// that a number rests as long as possible before it is used again.
func (a *seqAllocator) take() (uint8, bool) {
	for range MaxSequence {
		n := a.next
		a.next = (a.next + 1) & seqMask
		if !a.used[n] {
			a.used[n] = true
			return n, true
		}
	}
	return 0, false
}
