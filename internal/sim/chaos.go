package sim

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/midplane-project/midplane/internal/inmem"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Chaos disturbs a world.
type Chaos struct {
	w     *World
	rand  *rand.Rand
	nodes []string
	pace  time.Duration // the longest pause between two faults
	wg    sync.WaitGroup

	mu      sync.Mutex
	busy    map[string]bool // parties that are stopped, killed or wiped just now
	wiped   bool
	claimed bool
}

// NewChaos makes the chaos of a world's seed.
func NewChaos(w *World, nodes []string) *Chaos {
	c := &Chaos{w: w, rand: rand.New(rand.NewPCG(w.rand.Uint64(), 1)), nodes: nodes, busy: make(map[string]bool)}
	c.pace = []time.Duration{time.Second, 4 * time.Second, 8 * time.Second}[c.rand.IntN(3)]
	c.disturb()
	return c
}

// disturb delays, swaps and doubles messages. Presence tables and hellos are
// told in order: a stream keeps it, and what they say builds on it.
func (c *Chaos) disturb() {
	late, twice := c.rand.IntN(10), c.rand.IntN(5)
	spread := time.Duration(1+c.rand.IntN(300)) * time.Millisecond
	c.w.Net.Disturb(func(_, _ string, m proto.Message) (d inmem.Disturbance) {
		if !movable(m) {
			return d
		}
		if rand.IntN(100) < late {
			d.Delay = rand.N(spread)
		}
		if rand.IntN(100) < twice {
			d.Copies = 1
		}
		return d
	})
}

func movable(m proto.Message) bool {
	switch k := m.(type) {
	case *v1.AttachRequest:
		return k.GetBatch() != nil || k.GetEvents() != nil
	case *v1.AttachResponse:
		return k.GetBatch() != nil || k.GetEventAck() != nil
	case *v1.RelayRequest:
		return k.GetBatch() != nil || k.GetEvents() != nil || k.GetClaim() != nil
	case *v1.RelayResponse:
		return true
	}
	return false
}

// Run makes faults for a time; when it returns, each has come to its end.
func (c *Chaos) Run(ctx context.Context, span time.Duration) {
	end := time.Now().Add(span)
	for time.Now().Before(end) && pause(ctx, c.span(c.pace/20, c.pace)) {
		c.one()
	}
	c.wg.Wait()
	c.w.Net.Disturb(nil)
}

// span draws a duration, short ones as often as long ones.
func (c *Chaos) span(least, most time.Duration) time.Duration {
	if c.rand.IntN(2) == 0 {
		most = (least + most) / 4
	}
	return least + time.Duration(c.rand.Int64N(int64(max(most-least, 1))))
}

// one begins one fault.
func (c *Chaos) one() {
	replica, node := c.replica(), c.nodes[c.rand.IntN(len(c.nodes))]
	switch n := c.rand.IntN(100); {
	case n < 15:
		c.cutFor("isolate "+replica, 5*time.Second, between([]string{replica}, c.w.parties())...)
	case n < 25:
		c.cutFor("partition of "+replica, 5*time.Second, between([]string{replica}, replicaNames)...)
	case n < 35:
		c.oneWay()
	case n < 42:
		c.cutFor("cut "+node+" from "+replica, 8*time.Second, between([]string{node}, []string{replica})...)
	case n < 48:
		c.cutFor("isolate "+node, 20*time.Second, between([]string{node}, replicaNames)...)
	case n < 60:
		c.freeze(replica)
	case n < 75:
		c.restartReplica(replica, c.rand.IntN(3) > 0, false)
	case n < 80:
		c.restartReplica(replica, true, true)
	case n < 89:
		c.restartNode(node, c.rand.IntN(2) == 0)
	case n < 92:
		c.claimTwice(node)
	case n < 96:
		c.snapshot(replica)
	default:
		c.transfer()
	}
}

// replica draws one: the leader as often as any.
func (c *Chaos) replica() string {
	if l := c.w.Leader(); l != nil && c.rand.IntN(2) == 0 {
		return l.Name()
	}
	return replicaNames[c.rand.IntN(len(replicaNames))]
}

func (c *Chaos) cutFor(what string, most time.Duration, ways ...way) {
	span := c.span(50*time.Millisecond, most)
	c.w.logf("%s for %s", what, span)
	release := c.w.health.cut(ways...)
	c.wg.Go(func() { time.Sleep(span); release() })
}

// oneWay lets one party hear another that does not hear it.
func (c *Chaos) oneWay() {
	all := append(slices.Clone(replicaNames), c.nodes...)
	a, b := all[c.rand.IntN(len(all))], c.replica()
	if a == b {
		return
	}
	if c.rand.IntN(2) == 0 {
		a, b = b, a
	}
	c.cutFor("nothing goes from "+a+" to "+b, 4*time.Second, way{a, b})
}

// freeze stops a replica as SIGSTOP does: nothing goes in or out, and what was
// on its way arrives when it continues.
func (c *Chaos) freeze(name string) {
	c.cutFor("freeze "+name, 3*time.Second, between([]string{name}, c.w.parties())...)
}

// take reserves a party for a fault that it can have only one of.
func (c *Chaos) take(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[name] {
		return false
	}
	c.busy[name] = true
	return true
}

func (c *Chaos) give(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy[name] = false
}

// restartReplica stops or kills a replica, perhaps loses its disk, and starts
// it again. Only one disk is lost at a time: the next one when all three vote.
func (c *Chaos) restartReplica(name string, kill, wipe bool) {
	if !c.take(name) {
		return
	}
	if wipe && !c.mayWipe() {
		wipe = false
	}
	down := c.span(50*time.Millisecond, 5*time.Second)
	c.wg.Go(func() {
		defer c.give(name)
		if kill {
			c.w.KillReplica(name)
		} else {
			c.w.StopReplica(name)
		}
		if wipe {
			c.w.WipeReplica(name)
		}
		time.Sleep(down)
		c.w.StartReplica(name)
	})
}

// mayWipe allows one wipe in a seed, of a cluster whose three replicas vote and
// run.
func (c *Chaos) mayWipe() bool {
	l := c.w.Leader()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wiped || l == nil || len(c.w.running()) < len(replicaNames) || votersOf(l) < len(replicaNames) {
		return false
	}
	c.wiped = true
	return true
}

func (c *Chaos) restartNode(name string, kill bool) {
	if !c.take(name) {
		return
	}
	down := c.span(10*time.Millisecond, 15*time.Second)
	c.wg.Go(func() {
		defer c.give(name)
		c.w.StopNode(name, kill)
		time.Sleep(down)
		c.w.StartNode(name)
	})
}

// claimTwice starts a second node for a slot, whose first one is perhaps out
// of reach for longer than its lease.
func (c *Chaos) claimTwice(name string) {
	c.mu.Lock()
	again := c.claimed
	c.claimed = true
	c.mu.Unlock()
	if again || !c.take(name) {
		return
	}
	second := name + "-second"
	away := c.rand.IntN(2) == 0
	c.w.health.dispute(name, true)
	c.wg.Go(func() {
		defer c.give(name)
		release := func() {}
		if away {
			release = c.w.health.isolate(name, replicaNames)
		}
		c.w.startNode(name, second)
		time.Sleep(20 * time.Second)
		release()
		time.Sleep(2 * time.Second)
		c.w.StopNode(second, false)
		time.Sleep(25 * time.Second) // until the lease of the second one has ended
		c.w.health.dispute(name, false)
	})
}

// snapshot makes a replica write its state down, from which it starts next time.
func (c *Chaos) snapshot(name string) {
	r := c.w.Replica(name)
	if r == nil {
		return
	}
	c.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = r.Cluster().Snapshot(ctx) // it may have stopped meanwhile
	})
}

// transfer hands the leadership over.
func (c *Chaos) transfer() {
	l := c.w.Leader()
	if l == nil {
		return
	}
	c.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = l.Cluster().TransferLeadership(ctx, "") // it may have lost it already
	})
}

// Part parts the replicas from each other again and again until ctx ends.
func (c *Chaos) Part(ctx context.Context) {
	for pause(ctx, c.span(50*time.Millisecond, 1500*time.Millisecond)) {
		name := c.replica()
		switch c.rand.IntN(4) {
		case 0:
			c.freeze(name)
		case 1:
			c.oneWay()
		case 2:
			c.transfer()
		default:
			c.cutFor("partition of "+name, 2*time.Second, between([]string{name}, replicaNames)...)
		}
	}
	c.wg.Wait()
	c.w.Net.Disturb(nil)
}
