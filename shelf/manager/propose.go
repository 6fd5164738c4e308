package manager

import (
	"context"
	"fmt"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/state"
)

// call is what happens behind the mux while one request is answered.
type call struct {
	tenure    *tenure
	committed bool  // a command of it went through raft
	lost      error // a command of it failed in raft, or its tenure ended: there must be no answer
}

type callKey struct{}

func withCall(ctx context.Context, c *call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// callOf gives the call that ctx belongs to.
func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// propose commits a command of the manager's own.
func (m *Manager) propose(ctx context.Context, c *v1.Command) (*v1.Answer, error) {
	c.Version, c.Time = state.Version, time.Now().UnixNano()
	return m.cfg.Raft.Propose(ctx, c)
}

// lasting is ctx for a command that must not be given up because somebody does
// not wait for it any more: what the parts of 0x20 know would differ from what is
// committed. It ends with the tenure.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	c := callOf(ctx)
	if c == nil {
		return context.WithCancel(ctx)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(c.tenure.ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// put replaces records of the manager's own accord.
func (m *Manager) put(ctx context.Context, c *v1.PutRecords) error {
	a, err := m.propose(ctx, &v1.Command{Kind: &v1.Command_PutRecords{PutRecords: c}})
	if err == nil && a.GetCompletionCode() != 0 {
		err = fmt.Errorf("records refused: %s", a.GetRefusal())
	}
	return err
}

// commit commits a command that a request asks for, under the request's name.
// The error is a completion code, from the state or because raft gave none.
func (m *Manager) commit(ctx context.Context, req *ipmb.Request, c *v1.Command) (*v1.Answer, error) {
	c.Instance, c.Id = sessionOf(req.Origin)
	a, err := m.propose(ctx, c)
	k := callOf(ctx)
	if err != nil {
		if k != nil {
			k.lost = err
		}
		return nil, ipmb.ErrNoResponse
	}
	if k != nil {
		k.committed = true
	}
	if code := ipmb.CompletionCode(a.GetCompletionCode()); code != ipmb.OK {
		return nil, code
	}
	return a, nil
}

// sessionOf names a request in the session table: the instance with the
// address that it speaks from, so that no controller can use up or read the
// names of another. A request without a name has no row.
func sessionOf(o ipmb.Origin) (instance []byte, id uint64) {
	if o.Instance == "" || o.ID == 0 {
		return nil, 0
	}
	return append([]byte(o.Instance), byte(o.Source)), o.ID
}

// answered finds the answer that a request with effect had already. A state
// that lags behind misses it at worst; then raft finds it.
func (m *Manager) answered(req *ipmb.Request) (ipmb.Response, bool) {
	row := m.mux.Lookup(req.NetFn, req.Cmd, req.Data)
	instance, id := sessionOf(req.Origin)
	if row == nil || !row.Effect || instance == nil {
		return ipmb.Response{}, false
	}
	a, ok := m.cfg.State.Answered(instance, id)
	if !ok {
		return ipmb.Response{}, false
	}
	r := ipmb.Response{Code: ipmb.CompletionCode(a.GetCompletionCode()), Data: ipmb.AppendBody(nil, row.NetFn, row.Body)}
	if !isPlatformEvent(row) { // whose record id is the state's answer, not the command's
		r.Data = append(r.Data, a.GetData()...)
	}
	return r, true
}
