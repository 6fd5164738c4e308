package manager

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// tenurePatience is how long a request waits for the tenure to begin: between
// the leader's announcement and its first look at the slots.
const tenurePatience = 2 * time.Second

const instanceLen = 16

// errNotLeading says that this replica is not the active shelf manager.
var errNotLeading = errors.New("manager: this replica does not lead")

// tenure is one term of office. What it sends carries its term, under an
// instance of its own, so that no answer to another tenure's request is ever
// taken for one to its own.
type tenure struct {
	ctx       context.Context
	term      uint64
	bus       ipmb.Bus // stamps the term
	requester *ipmb.Requester
	forwards  forwards

	mu    sync.Mutex
	named map[string]*ipmb.Requester // by instance; those of doNamed, while they wait
}

func newTenure(ctx context.Context, term uint64, bus ipmb.Bus) (*tenure, error) {
	instance := make([]byte, instanceLen)
	if _, err := rand.Read(instance); err != nil {
		return nil, err
	}
	stamped := ipmb.BusFunc(func(ctx context.Context, m ipmb.Message) error {
		m.Term = term
		return bus.Send(ctx, m)
	})
	return &tenure{
		ctx: ctx, term: term, bus: stamped, named: make(map[string]*ipmb.Requester),
		requester: ipmb.NewRequester(stamped, ipmb.AddrShelfManager, string(instance), 1),
		forwards:  forwards{known: make(map[forwardName]*forwarded)},
	}, nil
}

// doNamed sends a request under an instance and an id that the caller chooses,
// so that it is the same request in every tenure. Nobody else must use the
// instance meanwhile.
func (t *tenure) doNamed(ctx context.Context, instance string, id uint64, to ipmb.Addr, req *ipmb.Request) (ipmb.Response, error) {
	r := ipmb.NewRequester(t.bus, ipmb.AddrShelfManager, instance, id)
	t.setNamed(instance, r)
	defer t.setNamed(instance, nil)
	return r.Do(ctx, to, req, ipmb.ControllerRhythm)
}

func (t *tenure) setNamed(instance string, r *ipmb.Requester) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r == nil {
		delete(t.named, instance)
	} else {
		t.named[instance] = r
	}
}

// deliver hands a response over to whose request it answers.
func (t *tenure) deliver(m ipmb.Message) {
	t.mu.Lock()
	r := t.named[m.Instance]
	t.mu.Unlock()
	if r == nil {
		r = t.requester
	}
	r.Deliver(m)
}

// Lead makes the manager answer at 0x20 and keeps the slots as the shelf wants
// them, until ctx ends. It is called after the barrier of the term and gives
// ctx's error, or why it could not begin.
func (m *Manager) Lead(ctx context.Context, term uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t, err := newTenure(ctx, term, m.cfg.Bus)
	if err != nil {
		return err
	}
	m.begin(t)
	defer m.end()
	newReconciler(m, t).run(ctx)
	return ctx.Err()
}

func (m *Manager) begin(t *tenure) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tenure = t
	close(m.begun)
}

func (m *Manager) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tenure, m.begun = nil, make(chan struct{})
}

func (m *Manager) current() (*tenure, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tenure, m.begun
}

// await gives the present tenure, or the next one if it begins soon.
func (m *Manager) await(ctx context.Context) (*tenure, error) {
	t, begun := m.current()
	if t != nil {
		return t, nil
	}
	timer := time.NewTimer(tenurePatience)
	defer timer.Stop()
	select {
	case <-begun:
		if t, _ = m.current(); t != nil {
			return t, nil
		}
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil, errNotLeading
}
