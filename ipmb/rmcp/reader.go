package rmcp

import (
	"context"
	"errors"
	"math"
	"net"
	"sync"
	"time"
)

const (
	// maxHelpers read beside a door's first reader, with the processors that
	// there are beside the first.
	maxHelpers = 3
	// callForHelp is after how many datagrams that were there already.
	callForHelp = 8
	// reliefAfter is how long a datagram may keep the first reader before
	// another one reads on. What comes from memory takes a tenth of it.
	reliefAfter = 500 * time.Microsecond
)

// read takes datagrams and answers them itself, for most answers are there
// sooner than another goroutine would be. When one is not, somebody else reads
// on, and this reader ends with it.
func (d *Door) read(ctx context.Context) {
	relieved := make(chan struct{}, 1)
	relief := time.AfterFunc(math.MaxInt64, func() { // none comes before a datagram does
		d.group.Go(func() { d.read(ctx) })
		relieved <- struct{}{}
	})
	defer relief.Stop()
	eye := d.socket.newEye()
	for there := 0; ; {
		err := eye.next()
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			d.stop(err)
			return
		}
		if err != nil { // such as an ICMP message of an earlier answer's
			continue
		}
		if there++; !eye.there {
			there = 0
		}
		if there == callForHelp {
			there = 0
			d.callHelper(ctx)
		}
		relief.Reset(d.relief)
		d.take(ctx, eye.buf[:eye.n], eye.login, eye.from)
		if !relief.Stop() {
			<-relieved
			return
		}
	}
}

// callHelper starts one that reads until nothing is there, unless all
// processors have one.
func (d *Door) callHelper(ctx context.Context) {
	select {
	case d.helpers <- struct{}{}:
	default:
		return
	}
	d.group.Go(func() {
		defer func() { <-d.helpers }()
		eye := d.socket.newEye()
		for ctx.Err() == nil && eye.glance() == nil {
			d.take(ctx, eye.buf[:eye.n], nil, eye.from)
		}
	})
}

// outlook is for the consoles whose requests wait: its eye looks where the first
// reader, who went to sleep meanwhile, does not.
type outlook struct {
	sync.Mutex
	eye   *eye
	since time.Time // the answer after which somebody looked last
}

// lookOut looks out for the next request of a console, after the answer to one
// that came then. Others do so already, or it is not brisk: then nobody does.
func (d *Door) lookOut(ctx context.Context, came time.Time) {
	o := &d.outlook
	if !o.TryLock() {
		return
	}
	defer o.Unlock()
	if o.eye == nil {
		o.eye = d.socket.newEye()
	}
	o.eye.note(came.Sub(o.since))
	o.since = time.Now()
	if o.eye.look(o.since) == nil {
		d.take(ctx, o.eye.buf[:o.eye.n], nil, o.eye.from)
	}
}
