package ipmb

import (
	"bytes"
	"context"
	"sync"
)

// once is a handler that does each named request with effect one time.
type once struct {
	next   Handler
	effect func(*Request) bool
	size   int

	mu       sync.Mutex
	answers  map[requestName]*onceAnswer
	finished []requestName // a ring of at most size names
	oldest   int
}

// requestName names a request once and for all.
type requestName struct {
	instance string
	id       uint64
}

type onceAnswer struct {
	done     chan struct{} // closed when response holds
	response Response
}

// NewOnce wraps h so that a repeat of a request with effect gets the first
// answer and is not done again. Requests are told apart by their origin's
// instance and id; those without id, or for which effect says no, pass. A
// repeat while the first runs waits for it. The last size answers are kept.
func NewOnce(h Handler, effect func(*Request) bool, size int) Handler {
	return &once{next: h, effect: effect, size: max(size, 1), answers: make(map[requestName]*onceAnswer)}
}

// ServeIPMI answers req.
func (o *once) ServeIPMI(ctx context.Context, req *Request) Response {
	if req.Origin.ID == 0 || !o.effect(req) {
		return o.next.ServeIPMI(ctx, req)
	}
	name := requestName{req.Origin.Instance, req.Origin.ID}
	a, first := o.join(name)
	if first {
		o.run(ctx, req, name, a)
	}
	select {
	case <-a.done:
		return a.response
	case <-ctx.Done():
		return Response{Code: CodeOf(ctx.Err())}
	}
}

func (o *once) join(name requestName) (a *onceAnswer, first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a := o.answers[name]; a != nil {
		return a, false
	}
	a = &onceAnswer{done: make(chan struct{})}
	o.answers[name] = a
	return a, true
}

// run does the request. Whatever h does, those who joined get an answer.
func (o *once) run(ctx context.Context, req *Request, name requestName, a *onceAnswer) {
	a.response = Response{Code: ErrUnspecified}
	defer o.finish(name, a)
	r := o.next.ServeIPMI(ctx, req)
	a.response = Response{Code: r.Code, Data: bytes.Clone(r.Data)} // h may have answered with req's own bytes
}

func (o *once) finish(name requestName, a *onceAnswer) {
	close(a.done)
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.finished) < o.size {
		o.finished = append(o.finished, name)
		return
	}
	delete(o.answers, o.finished[o.oldest])
	o.finished[o.oldest] = name
	o.oldest = (o.oldest + 1) % o.size
}
