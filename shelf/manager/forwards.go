package manager

import (
	"context"
	"sync"

	"github.com/midplane-project/midplane/ipmb"
)

// forwardsKept is how many answered forwards are remembered for their repeats.
const forwardsKept = 1024

// forwards sees to it that a nested request is sent on once in a tenure: a
// repeat of the Send Message around it joins the first, or gets its answer.
type forwards struct {
	mu    sync.Mutex
	known map[forwardName]*forwarded
	done  []forwardName // oldest first
}

// forwardName names a request once and for all.
type forwardName struct {
	instance string
	source   ipmb.Addr
	id       uint64
}

type forwarded struct {
	over     chan struct{} // closed when response and err hold
	response ipmb.Response
	err      error
}

// do sends with send, unless the request of origin o was sent before.
func (f *forwards) do(ctx context.Context, o ipmb.Origin, send func() (ipmb.Response, error)) (ipmb.Response, error) {
	if o.ID == 0 || o.Instance == "" {
		return send()
	}
	name := forwardName{o.Instance, o.Source, o.ID}
	one, first := f.join(name)
	if first {
		one.response, one.err = send()
		close(one.over)
		f.remember(name)
	}
	select {
	case <-one.over:
		return one.response, one.err
	case <-ctx.Done():
		return ipmb.Response{}, ctx.Err()
	}
}

func (f *forwards) join(name forwardName) (one *forwarded, first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one := f.known[name]; one != nil {
		return one, false
	}
	one = &forwarded{over: make(chan struct{})}
	f.known[name] = one
	return one, true
}

func (f *forwards) remember(name forwardName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = append(f.done, name)
	if len(f.done) > forwardsKept {
		delete(f.known, f.done[0])
		f.done = f.done[1:]
	}
}
