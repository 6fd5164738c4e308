package sim

import (
	"slices"
	"sync"
	"time"

	"github.com/midplane-project/midplane/internal/inmem"
)

// calm is how long nothing may change for a request to have had a fair chance:
// time enough to notice a dead peer, to elect, and to attach.
const calm = 5 * time.Second

// health knows all faults and remembers them, to judge a guest's failed request.
type health struct {
	net   *inmem.Network
	began time.Time

	mu       sync.Mutex
	cuts     map[way]int // how many faults cut it
	running  map[string]bool
	disputed map[string]bool // nodes whose slot another one claims
	history  []moment
}

// way is one direction between two parties.
type way struct{ from, to string }

// moment is how things stood from a time on.
type moment struct {
	at time.Time
	ok map[string]bool // nodes that a quorum can be reached from
}

func newHealth(n *inmem.Network) *health {
	return &health{
		net: n, began: time.Now(), cuts: make(map[way]int),
		running: make(map[string]bool), disputed: make(map[string]bool),
	}
}

// up notes that a party runs or does not.
func (h *health) up(name string, up bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running[name] = up
	h.note()
}

// dispute notes that somebody else claims a node's slot.
func (h *health) dispute(name string, on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.disputed[name] = on
	h.note()
}

// cut cuts ways and gives the function that ends this fault.
func (h *health) cut(ways ...way) (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range ways {
		if h.cuts[w]++; h.cuts[w] == 1 {
			h.net.CutOneWay(w.from, w.to)
		}
	}
	h.note()
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, w := range ways {
			if h.cuts[w]--; h.cuts[w] == 0 {
				h.net.HealOneWay(w.from, w.to)
			}
		}
		h.note()
	})
}

// isolate cuts a party off from others, in both directions.
func (h *health) isolate(name string, others []string) (release func()) {
	return h.cut(between([]string{name}, others)...)
}

// between lists the ways between two groups.
func between(a, b []string) (ways []way) {
	for _, x := range a {
		for _, y := range b {
			if x != y {
				ways = append(ways, way{x, y}, way{y, x})
			}
		}
	}
	return ways
}

// note remembers how things stand now.
func (h *health) note() {
	m := moment{time.Now(), make(map[string]bool)}
	for name, up := range h.running {
		if up && !slices.Contains(replicaNames, name) {
			m.ok[name] = !h.disputed[name] && h.quorumFor(name)
		}
	}
	h.history = append(h.history, m)
}

// linked reports whether two parties run and hear each other.
func (h *health) linked(a, b string) bool {
	return h.running[a] && h.running[b] && h.cuts[way{a, b}] == 0 && h.cuts[way{b, a}] == 0
}

// apart reports whether two parties hear nothing of each other.
func (h *health) apart(a, b string) bool {
	return !h.running[a] || !h.running[b] || h.cuts[way{a, b}] > 0 && h.cuts[way{b, a}] > 0
}

// quorumFor reports whether some majority of the replicas is whole, undisturbed
// by the others, and linked to a node.
func (h *health) quorumFor(node string) bool {
	for left := range len(replicaNames) + 1 { // the one that is left out; the last leaves none out
		var in, out []string
		for i, r := range replicaNames {
			if i == left {
				out = append(out, r)
			} else {
				in = append(in, r)
			}
		}
		if h.whole(in, out) && slices.ContainsFunc(in, func(r string) bool { return h.linked(node, r) }) {
			return true
		}
	}
	return false
}

func (h *health) whole(in, out []string) bool {
	for _, a := range in {
		for _, b := range in {
			if !h.linked(a, b) && (a != b || !h.running[a]) {
				return false
			}
		}
		for _, b := range out {
			if !h.apart(a, b) {
				return false
			}
		}
	}
	return true
}

// fair reports whether all the nodes could reach a quorum from one time to
// another, and for some time within nothing changed.
func (h *health) fair(from, to time.Time, nodes ...string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	rested, last := false, from
	for i, m := range h.history {
		ends := to
		if i+1 < len(h.history) {
			ends = h.history[i+1].at
		}
		if !ends.After(from) && i+1 < len(h.history) || m.at.After(to) {
			continue
		}
		for _, n := range nodes {
			if !m.ok[n] {
				return false
			}
		}
		if m.at.After(last) {
			last = m.at
		}
		if ends.After(to) {
			ends = to
		}
		rested = rested || ends.Sub(last) >= calm
	}
	return rested
}
