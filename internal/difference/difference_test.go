//go:build e2e

package difference

import (
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/node"
)

// TestDifferences asks a node and ipmi_sim, which have the same records, FRU
// inventory and log, all that can be read. Where they differ there is a reason.
func TestDifferences(t *testing.T) {
	n := startNode(t)
	sim := startSim(t, twinOf(t, n))
	for _, c := range []struct {
		*bmc
		asks []string
	}{{n, nodeLog}, {sim, simLog}, {n, prepare}, {sim, prepare}} {
		for _, ask := range c.asks {
			c.data(t, ask)
		}
	}
	used := make(map[string]bool)
	same := 0
	for _, q := range questions {
		a, b := n.ask(t, q), sim.ask(t, q)
		if thisHour(a) == thisHour(b) {
			same++
			continue
		}
		begin, ok := explain(q, a, b)
		if !ok {
			begin, ok = explain(q, thisHour(a), thisHour(b))
		}
		if ok {
			used[begin] = true
			continue
		}
		t.Errorf("%s: nobody knows why the answers differ\n\tnode:     %s\n\tipmi_sim: %s", q, a, b)
	}
	for _, e := range explained {
		for begin := range strings.SplitSeq(e.asks, "|") {
			if !used[begin+e.node+e.sim] {
				t.Errorf("%s: %s: does not apply any more", begin, e.why)
			}
		}
	}
	t.Logf("%d questions, %d answers are the same", len(questions), same)
}

// thisHour makes times of the log that are less than some minutes after what
// both clocks were set to that time: they do not run in step.
func thisHour(answer string) string { return clock.ReplaceAllString(answer, "00 00 00 60") }

var clock = regexp.MustCompile(`\b[0-9a-f]{2} 0[0-9a-f] 00 60\b`)

// explain finds why a question has two answers.
func explain(question, node, sim string) (begin string, ok bool) {
	for _, e := range explained {
		for begin := range strings.SplitSeq(e.asks, "|") {
			if strings.HasPrefix(question, begin) && like(node, e.node) && like(sim, e.sim) {
				return begin + e.node + e.sim, true
			}
		}
	}
	return "", false
}

// like compares an answer with a pattern.
func like(answer, pattern string) bool {
	if head, open := strings.CutSuffix(pattern, "*"); open {
		head = strings.TrimSuffix(head, " ")
		return len(answer) >= len(head) && like(answer[:len(head)], head)
	}
	if len(answer) != len(pattern) {
		return false
	}
	for i := range pattern {
		if pattern[i] != 'x' && pattern[i] != answer[i] {
			return false
		}
	}
	return true
}

// changing are the rows without effect, in the mux's sense, that nevertheless
// change something: they are no questions.
var changing = []string{"Set BMC Global Enables", "Clear Message Flags", "Send Message"}

// Every row that reads is asked, rightly and wrongly.
func TestQuestionsCoverTheRows(t *testing.T) {
	dir := t.TempDir()
	n, err := node.New(node.Config{
		Dir: dir, Name: "n", Interface: "kcs", Listen: []node.Listen{{Address: "unix:" + filepath.Join(dir, "s")}},
	}, node.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	asked := make(map[string]int)
	for _, q := range questions {
		asked[q[:5]]++
	}
	for _, c := range n.Commands() {
		id := hexOf(byte(c.NetFn), byte(c.Cmd))
		if c.Effect || slices.Contains(changing, c.Name) {
			continue
		}
		if asked[id] < 2 {
			t.Errorf("%s (%s): %d questions", c.Name, id, asked[id])
		}
		delete(asked, id)
	}
	for id := range asked {
		t.Errorf("%s is asked, and no row that only reads", id)
	}
}
