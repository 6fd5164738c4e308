package backplanetest

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/midplane-project/midplane/internal/inmem"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/uplink"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

var seeds = flag.Int("seeds", 40, "how many random histories to run")

// chaos is one random history.
type chaos struct {
	*Bus
	t        *testing.T
	outboxes []*uplink.Outbox

	mu  sync.Mutex // of rng: the network asks from many goroutines
	rng *rand.Rand
}

func (c *chaos) below(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.IntN(n)
}

// disturb delays and repeats frames and events; a stream keeps the order of
// all else, and so does this.
func (c *chaos) disturb(_, _ string, m proto.Message) inmem.Disturbance {
	switch m := m.(type) {
	case *v1.AttachRequest:
		if m.GetBatch() == nil && m.GetEvents() == nil {
			return inmem.Disturbance{}
		}
	case *v1.AttachResponse:
		if m.GetBatch() == nil {
			return inmem.Disturbance{}
		}
	case *v1.RelayRequest:
		if m.GetBatch() == nil {
			return inmem.Disturbance{}
		}
	default:
		return inmem.Disturbance{}
	}
	return inmem.Disturbance{Delay: time.Duration(1+c.below(30)) * time.Millisecond, Copies: c.below(2)}
}

// stir makes trouble until the history is over: cuts, and leaders that change,
// now and then behind the back of a replica.
func (c *chaos) stir(end time.Time) {
	for time.Now().Before(end) {
		time.Sleep(time.Duration(c.below(1500)) * time.Millisecond)
		all := c.everybody()
		switch c.below(6) {
		case 0, 1:
			a, b := all[c.below(len(all))], all[c.below(len(all))]
			c.Net.Cut(a, b)
		case 2:
			c.Net.HealAll()
		case 3:
			c.Isolate(c.Replicas[c.below(3)].Name)
		case 4:
			_, before := c.State.Leader()
			next := c.Replicas[c.below(3)].Name
			if before != "" && before != next && c.below(2) == 0 {
				c.Elect(next, before)
			} else {
				c.Elect(next)
			}
		case 5:
			c.Elect("")
		}
		if c.below(2) == 0 {
			c.Enlighten(c.Replicas[c.below(3)].Name)
		}
	}
}

// talk makes one node ask others until the history is over. Requests may fail,
// but never get the answer of another.
func (c *chaos) talk(n *Node, end time.Time) {
	targets := []ipmb.Addr{0x20, 0x82, 0x84, 0x86}
	for i := uint32(0); time.Now().Before(end); i++ {
		err := n.Echo(c.t.Context(), targets[c.below(4)], binary.BigEndian.AppendUint32(nil, i))
		if errors.Is(err, ErrForeign) {
			c.t.Error(err)
		}
		time.Sleep(time.Duration(c.below(100)) * time.Millisecond)
	}
}

// command makes every replica that thinks it leads send commands.
func (c *chaos) command(end time.Time) {
	for id := uint64(1); time.Now().Before(end); id++ {
		for _, r := range c.Replicas {
			to := ipmb.AddrFromHW(uint8(0x41 + c.below(3)))
			m := ipmb.Message{ID: id, Instance: "manager " + r.Name + "......", Frame: ipmb.RequestFrame(to, 0, 0, 1, GetDeviceID(0))}
			_ = r.Switch.Send(c.t.Context(), "lab", m) // most do not lead
		}
		time.Sleep(time.Duration(c.below(200)) * time.Millisecond)
	}
}

func (c *chaos) report(o *uplink.Outbox, end time.Time) {
	for time.Now().Before(end) {
		if _, err := o.Append(&v1.Event{Body: []byte{1}}); err != nil {
			c.t.Error(err)
		}
		time.Sleep(time.Duration(500+c.below(1000)) * time.Millisecond)
	}
}

// wantTerms checks that what a node took from 0x20 never went back in terms.
func wantTerms(t *testing.T, n *Node) {
	var term uint64
	for _, m := range n.Seen() {
		if m.Frame.From != ipmb.AddrShelfManager {
			continue
		}
		if m.Term < term {
			t.Errorf("%s took a command of term %d after one of term %d", n.Name, m.Term, term)
		}
		term = m.Term
	}
}

// wantEvents checks that the log has each event of each outbox once, in order.
func (c *chaos) wantEvents() {
	next := make(map[string]uint64)
	for _, l := range c.State.Log() {
		if next[l.Outbox]++; l.Event.GetN() != next[l.Outbox] {
			c.t.Errorf("outbox of %#x: event %d stands where %d should", l.HW, l.Event.GetN(), next[l.Outbox])
		}
	}
	for _, o := range c.outboxes {
		id := o.UUID()
		if next[string(id[:])] != o.Last() || o.Acked() != o.Last() {
			c.t.Errorf("%d of %d events in the log, %d acknowledged", next[string(id[:])], o.Last(), o.Acked())
		}
	}
}

func (c *chaos) run() {
	end := time.Now().Add(40 * time.Second)
	var wg sync.WaitGroup
	for i := range 3 {
		o := outbox(c.t, fmt.Sprintf("box%d", i))
		n := c.Node("lab", fmt.Sprintf("n%d", i+1), uint8(0x41+i), with(o))
		c.outboxes = append(c.outboxes, o)
		wg.Go(func() { c.talk(n, end) })
		wg.Go(func() { c.report(o, end) })
	}
	c.Net.Disturb(c.disturb)
	wg.Go(func() { c.stir(end) })
	wg.Go(func() { c.command(end) })
	wg.Wait()
	c.calm()
}

// calm ends all trouble; then everything must work.
func (c *chaos) calm() {
	c.Net.Disturb(nil)
	c.Net.HealAll()
	for _, r := range c.Replicas {
		r.stuck.Store(nil)
	}
	c.Elect("r2")
	time.Sleep(20 * time.Second)
	c.wantEvents()
	for _, n := range c.nodes {
		wantTerms(c.t, n)
		for _, to := range []ipmb.Addr{0x20, 0x82, 0x84, 0x86} {
			if err := n.Echo(c.t.Context(), to, []byte{9}); err != nil {
				c.t.Errorf("afterwards %s asks %s: %v", n.Name, to, err)
			}
		}
	}
}

func TestChaos(t *testing.T) {
	for seed := range *seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &chaos{Bus: New(t, nil, "r1", "r2", "r3"), t: t, rng: rand.New(rand.NewPCG(uint64(seed), 1))}
				c.run()
			})
		})
	}
}
