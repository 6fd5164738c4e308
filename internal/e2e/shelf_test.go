//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/midplane-project/midplane/deploy/lab"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// shelf is a running shelf. Tests share it, so its methods are told for which
// test they work.
type shelf struct {
	*lab.Lab
}

// fixture is a shelf that comes up with the first test that wants it.
type fixture struct {
	name string
	yaml string
	args []string // of up

	mu sync.Mutex
}

// blades is the shelf of most tests.
var blades = &fixture{name: "b", yaml: `
nodes:
  - {slot: 1, name: blade1, interface: kcs}
  - {slot: 2, name: blade2, interface: bt}
`}

// up brings the shelf up, or back to health. What goes wrong from here on is
// told with the shelf's own words.
func (f *fixture) up(t *testing.T) *shelf {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	path := filepath.Join(home, f.name+".yaml")
	if err := os.WriteFile(path, []byte("name: "+f.name+f.yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	ok(t, append([]string{"up", "-f", path}, f.args...)...)
	l, err := lab.Open(f.name)
	if err != nil {
		t.Fatal(err)
	}
	s := &shelf{l}
	t.Cleanup(func() { s.tell(t) })
	return s
}

// tell logs how the shelf is when a test has failed.
func (s *shelf) tell(t *testing.T) {
	if !t.Failed() {
		return
	}
	for _, args := range [][]string{{"ps"}, {"cluster"}, {"ls"}, {"logs"}} {
		out, _ := commandOutput(append(args, "--shelf", s.Name)...)
		t.Logf("midplane %s:\n%s", args[0], lastLines(out, 60))
	}
}

// do runs a verb on this shelf, which must succeed.
func (s *shelf) do(t *testing.T, args ...string) string {
	t.Helper()
	return ok(t, append([]string{"--shelf", s.Name}, args...)...)
}

// kill kills a process and starts it again when the test ends.
func (s *shelf) kill(t *testing.T, process string) {
	t.Helper()
	s.do(t, "kill", process)
	t.Cleanup(func() { s.atEnd("start", process) })
}

// atEnd runs a verb on this shelf for a test that has ended; it may have run
// already.
func (s *shelf) atEnd(args ...string) {
	_, _ = commandOutput(append([]string{"--shelf", s.Name}, args...)...)
}

// healthy waits until every replica follows one leader and every node and
// guest answers.
func (s *shelf) healthy(t *testing.T) {
	t.Helper()
	s.do(t, "wait", "shelf", "--timeout", "2m")
	eventually(t, patience, "every replica is up to date", func() error {
		c := okJSON[clusterJSON](t, "--shelf", s.Name, "cluster")
		for _, m := range c.Members {
			if !m.Reachable || m.Role == "learner" || m.Applied != c.Members[0].Applied {
				return fmt.Errorf("%+v", c.Members)
			}
		}
		return nil
	})
}

// clusterJSON is what cluster -o json prints.
type clusterJSON struct {
	Leader  string
	Term    uint64
	Members []struct {
		Name      string
		Role      string
		Reachable bool
		Applied   uint64 `json:"applied_index"`
	}
}

// leader waits for a leader and names it.
func (s *shelf) leader(t *testing.T) string {
	t.Helper()
	var name string
	eventually(t, patience, "there is a leader", func() (err error) {
		name, err = s.Leader(t.Context())
		return err
	})
	return name
}

// follower names a replica that does not lead.
func (s *shelf) follower(t *testing.T) string {
	t.Helper()
	leader := s.leader(t)
	all := s.ReplicaAPIs()
	return all[slices.IndexFunc(all, func(e lab.Endpoint) bool { return e.Name != leader })].Name
}

// node asks a node how it is.
func (s *shelf) node(t *testing.T, name string) *v1.NodeStatusResponse {
	t.Helper()
	st, err := s.NodeStatus(t.Context(), name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return st
}

// log reads the event log after an id, as the leader has it.
func (s *shelf) log(t *testing.T, after uint64) []*v1.EventEntry {
	t.Helper()
	var entries []*v1.EventEntry
	eventually(t, patience, "the log is read", func() error {
		name, err := s.Leader(t.Context())
		if err == nil {
			entries, err = s.logOf(t, s.replica(name), after)
		}
		return err
	})
	return entries
}

// replica is the API of a replica.
func (s *shelf) replica(name string) lab.Endpoint {
	all := s.ReplicaAPIs()
	return all[slices.IndexFunc(all, func(e lab.Endpoint) bool { return e.Name == name })]
}

// logOf reads the event log as one replica has it.
func (s *shelf) logOf(t *testing.T, e lab.Endpoint, after uint64) ([]*v1.EventEntry, error) {
	conn, err := e.Dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stream, err := v1.NewShelfClient(conn).ListEvents(t.Context(), &v1.ListEventsRequest{Shelf: s.Name, After: after})
	if err != nil {
		return nil, err
	}
	var entries []*v1.EventEntry
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, m.Events...)
	}
}

// lastID is the newest entry's id.
func (s *shelf) lastID(t *testing.T) uint64 {
	t.Helper()
	entries := s.log(t, 0)
	if len(entries) == 0 {
		return 0
	}
	return entries[len(entries)-1].Id
}
