package uplink

import (
	"path/filepath"
	"testing"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// What comes late by a way that is given up may ask for events that are long
// acknowledged; taken seriously, it would start a new outbox and log them twice.
func TestAcksOfAnotherWayDoNotCount(t *testing.T) {
	tests := map[string]struct {
		other        bool
		last, resend uint64
	}{
		"own way":     {false, 4, 5},
		"another way": {true, 2, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			u, w := New(Config{HW: 0x41}), &way{lastEvent: 2}
			from := w
			if tt.other {
				from = &way{}
			}
			u.heardAck(from, &v1.EventAck{Last: 4, ResendFrom: 5})
			if last, resend := u.answered(w); last != tt.last || resend != tt.resend {
				t.Errorf("last %d, resend from %d", last, resend)
			}
		})
	}
}

// Events with numbers of the new outbox must not go to a replica that knows
// the old UUID.
func TestWayOfARenewedOutboxEnds(t *testing.T) {
	_, o := openBox(t, filepath.Join(t.TempDir(), "node.db"))
	fill(t, o, 1)
	u := uplinkWith(nil)
	u.cfg.Outbox = o
	w := u.replicas[0].way
	w.link = newDeadLink()
	if _, err := u.pumpOnce(&pumping{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.link.Done():
	default:
		t.Error("the way goes on")
	}
}
