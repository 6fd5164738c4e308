package sim

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

// Linux's rhythm for messages to other controllers (ipmi_msghandler.c).
const (
	tries   = 5
	tryWait = 2 * time.Second
)

// errNoAnswer is what an application gets when all tries were in vain.
var errNoAnswer = errors.New("sim: no answer")

// driver is the guest's IPMI driver: it draws sequence numbers, repeats
// requests under the same number, and matches answers as Linux does.
type driver struct {
	vm      *vmtest.Guest
	respond func(ipmb.Frame) []byte // software that answers LUN 2 requests

	mu      sync.Mutex
	seq     uint8
	waiting map[uint8]*asking
}

type asking struct {
	to     ipmb.Addr
	req    ipmb.Request
	answer chan ipmb.Response
}

func newDriver(respond func(ipmb.Frame) []byte) *driver {
	return &driver{
		vm: vmtest.New(vmtest.Options{}), respond: respond,
		waiting: make(map[uint8]*asking),
	}
}

// run receives messages until ctx ends.
func (d *driver) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := d.vm.WaitAttention(ctx); err != nil {
			return
		}
		msgs, err := d.vm.Receive(ctx)
		for _, m := range msgs {
			d.received(ctx, m.Frame)
		}
		if err != nil || len(msgs) == 0 { // the node went away, or the flag is another's
			pause(ctx, 20*time.Millisecond)
		}
	}
}

func (d *driver) received(ctx context.Context, f ipmb.Frame) {
	if !f.IsResponse() {
		reply := f.Reply(ipmb.Response{Data: d.respond(f)})
		_, _ = d.vm.SendFrame(ctx, reply) // who asked asks again
		return
	}
	r, ok := f.Response()
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.waiting[f.Seq]
	if !ok || a == nil || a.to != f.From || a.req.Cmd != f.Cmd || a.req.NetFn.Response() != f.NetFn {
		return // late, as Linux drops it
	}
	select {
	case a.answer <- r:
	default:
	}
}

// local asks the own controller.
func (d *driver) local(ctx context.Context, req ipmb.Request) (ipmb.Response, error) {
	code, data, err := d.vm.Do(ctx, req.NetFn, req.LUN, req.Cmd, req.Data)
	return ipmb.Response{Code: code, Data: data}, err
}

// ask asks another controller. A controller that is away for a moment, as while
// it is started anew, is asked again at the next try.
func (d *driver) ask(ctx context.Context, to ipmb.Addr, req ipmb.Request) (ipmb.Response, error) {
	a := &asking{to: to, req: req, answer: make(chan ipmb.Response, 1)}
	seq, ok := d.begin(a)
	if !ok {
		return ipmb.Response{}, ipmb.ErrBusy
	}
	defer d.end(seq)
	for range tries {
		code, err := d.vm.SendFrame(ctx, ipmb.RequestFrame(to, ipmb.AddrShelfManager, ipmb.LUNSMS, seq, &req))
		if err != nil {
			return ipmb.Response{}, err
		}
		switch code {
		case ipmb.OK, ipmb.ErrBusy, ipmb.ErrInitialising, ipmb.ErrTimeout:
		default:
			return ipmb.Response{Code: code}, nil
		}
		select {
		case r := <-a.answer:
			return r, nil
		case <-time.After(tryWait):
		case <-ctx.Done():
			return ipmb.Response{}, ctx.Err()
		}
	}
	return ipmb.Response{}, errNoAnswer
}

func (d *driver) begin(a *asking) (uint8, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for range ipmb.MaxSequence {
		n := d.seq
		d.seq = (d.seq + 1) % ipmb.MaxSequence
		if d.waiting[n] == nil {
			d.waiting[n] = a
			return n, true
		}
	}
	return 0, false
}

func (d *driver) end(seq uint8) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.waiting, seq)
}

// pause waits, and reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
