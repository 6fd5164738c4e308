package backplanetest

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/node/uplink"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// outbox opens an outbox in a directory of the test; inside a bubble, since its
// channel belongs to where it was made.
func outbox(t *testing.T, name string) *uplink.Outbox {
	t.Helper()
	db, err := kv.Open(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	o, err := uplink.OpenOutbox(db)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func with(o *uplink.Outbox) func(*uplink.Config) {
	return func(c *uplink.Config) { c.Outbox = o }
}

func appendEvents(t *testing.T, o *uplink.Outbox, n int) {
	t.Helper()
	for range n {
		if _, err := o.Append(&v1.Event{Body: []byte{byte(o.Last())}}); err != nil {
			t.Fatal(err)
		}
	}
}

// wantLog checks that a log has events 1 to n of an outbox, each once, in order.
func wantLog(t *testing.T, s *State, n int) {
	t.Helper()
	log := s.Log()
	if len(log) != n {
		t.Fatalf("%d events in the log, want %d", len(log), n)
	}
	for i, l := range log {
		if l.Event.GetN() != uint64(i+1) {
			t.Fatalf("event %d stands at %d", l.Event.GetN(), i+1)
		}
	}
}

func TestEventsReachTheLogOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := outbox(t, "box")
		appendEvents(t, o, 100) // before anything is up
		b := New(t, nil, "r1", "r2", "r3")
		b.Node("lab", "n1", 0x41, with(o))
		settle()
		appendEvents(t, o, 100)
		b.Elect("r2")
		appendEvents(t, o, 100)
		settle()
		wantLog(t, b.State, 300)
		if o.Acked() != 300 {
			t.Errorf("acknowledged %d", o.Acked())
		}
	})
}

// The leader cannot be reached from the node: a follower brings the events.
func TestEventsThroughFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := outbox(t, "box")
		b := New(t, nil, "r1", "r2")
		b.Net.Cut("n1", "r1")
		b.Node("lab", "n1", 0x41, with(o))
		settle()
		appendEvents(t, o, 50)
		settle()
		wantLog(t, b.State, 50)
	})
}

// Without a leader events wait, and are sent when there is one.
func TestEventsWaitForALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := outbox(t, "box")
		b := New(t, nil, "r1", "r2")
		b.Node("lab", "n1", 0x41, with(o))
		settle()
		b.Elect("")
		appendEvents(t, o, 50)
		time.Sleep(10 * time.Second)
		wantLog(t, b.State, 0)
		b.Elect("r2")
		time.Sleep(3 * time.Second)
		wantLog(t, b.State, 50)
	})
}

// The shelf has forgotten what it acknowledged, as after the restore of an old
// backup: the node starts a new outbox rather than wait for ever.
func TestShelfForgotEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := outbox(t, "box")
		b := New(t, nil, "r1")
		b.Node("lab", "n1", 0x41, with(o))
		settle()
		appendEvents(t, o, 10)
		settle()
		b.State.Forget()
		id := o.UUID()
		appendEvents(t, o, 5)
		time.Sleep(5 * time.Second)
		wantLog(t, b.State, 5)
		if o.UUID() == id || o.Acked() != 5 {
			t.Errorf("UUID %v (was %v), acknowledged %d", o.UUID(), id, o.Acked())
		}
	})
}
