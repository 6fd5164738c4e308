package uplink

import (
	"errors"
	"testing"

	"github.com/midplane-project/midplane/internal/link"
	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const (
	present = v1.PresenceState_PRESENCE_STATE_PRESENT
	lost    = v1.PresenceState_PRESENCE_STATE_LOST
	absent  = v1.PresenceState_PRESENCE_STATE_ABSENT
)

// says is what a replica says of the slot at 0x84.
type says struct {
	state v1.PresenceState
	here  bool
}

// uplinkWith has a way to each replica; nil: its table has not come yet.
func uplinkWith(tables ...*says) *Uplink {
	u := New(Config{HW: 0x41})
	for i, s := range tables {
		r := &replica{u: u, order: i}
		r.way = &way{r: r, plane: r.plane()}
		if s != nil {
			r.way.presence = &presence{}
			r.way.presence[0x42].state, r.way.presence[0x42].here = s.state, s.here
		}
		u.replicas = append(u.replicas, r)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.look()
	return u
}

func TestBestWay(t *testing.T) {
	tests := map[string]struct {
		tables []*says
		state  v1.PresenceState
		best   int // the replica, -1 for none
	}{
		"no stream":             {nil, v1.PresenceState_PRESENCE_STATE_UNSPECIFIED, -1},
		"no table yet":          {[]*says{nil}, v1.PresenceState_PRESENCE_STATE_UNSPECIFIED, 0},
		"absent":                {[]*says{{absent, false}, {absent, false}}, absent, 0},
		"first of equals":       {[]*says{{present, true}, {present, true}}, present, 0},
		"where it is attached":  {[]*says{{present, false}, {present, true}}, present, 1},
		"one is cut off":        {[]*says{{absent, false}, {present, false}}, present, 1},
		"lost beats absent":     {[]*says{{absent, false}, {lost, false}}, lost, 1},
		"one has not told yet":  {[]*says{nil, {present, true}}, present, 1},
		"three, the last knows": {[]*says{{lost, false}, {lost, false}, {present, true}}, present, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			u := uplinkWith(tt.tables...)
			if got := u.Presence(0x84); got != tt.state {
				t.Errorf("state %v, want %v", got, tt.state)
			}
			best := u.view.Load().best[0x42]
			if tt.best < 0 && best != nil || tt.best >= 0 && best != u.replicas[tt.best].way {
				t.Errorf("best way %+v", best)
			}
		})
	}
}

func TestPlanesTakeTurns(t *testing.T) {
	u := uplinkWith(nil, nil, nil)
	for i, want := range []ipmb.Plane{ipmb.PlaneA, ipmb.PlaneB, ipmb.PlaneA} {
		if got := u.replicas[i].way.plane; got != want {
			t.Errorf("replica %d: %v", i, got)
		}
	}
}

// What was known of others stays when the last stream breaks.
func TestPresenceStaysWithoutStreams(t *testing.T) {
	u := uplinkWith(&says{present, true})
	u.mu.Lock()
	u.replicas[0].way = nil
	u.look()
	u.mu.Unlock()
	if got := u.Presence(0x84); got != present {
		t.Errorf("state %v", got)
	}
	if err := u.Send(t.Context(), ipmb.Message{Frame: ipmb.Frame{To: 0x84}}); err != nil {
		t.Errorf("send: %v", err)
	}
}

func TestSendFailsFastOnlyForAbsent(t *testing.T) {
	tests := map[string]struct {
		to   ipmb.Addr
		want error
	}{
		"odd":                 {0x85, ipmb.ErrDestination},
		"absent":              {0x84, ipmb.ErrDestination},
		"manager without way": {ipmb.AddrShelfManager, nil},
	}
	u := uplinkWith(&says{absent, false})
	u.mu.Lock()
	u.replicas[0].way = nil
	u.look()
	u.mu.Unlock()
	for name, tt := range tests {
		if err := u.Send(t.Context(), ipmb.Message{Frame: ipmb.Frame{To: tt.to}}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFence(t *testing.T) {
	u := New(Config{HW: 0x41})
	steps := []struct {
		term uint64
		want bool
	}{{3, true}, {3, true}, {2, false}, {5, true}, {3, false}, {0, false}}
	for _, s := range steps {
		if got := u.fence(s.term); got != s.want {
			t.Errorf("term %d: %v", s.term, got)
		}
	}
}

func TestLeaderNotices(t *testing.T) {
	var told []string
	u := New(Config{HW: 0x41, LeaderChanged: func(_ uint64, leader string) { told = append(told, leader) }})
	for _, n := range []struct {
		from   string
		term   uint64
		leader string
	}{
		{"r1", 2, "r2"}, // news
		{"r3", 2, "r2"}, // known
		{"r3", 90, ""},  // a candidate that nobody elected
		{"r2", 2, "r2"}, // the leader itself is ready
		{"r1", 1, "r1"}, // old
		{"r1", 4, "r3"}, // news
	} {
		u.heardLeader(n.from, &v1.LeaderNotice{Term: n.term, Leader: n.leader})
	}
	if len(told) != 3 || told[0] != "r2" || told[1] != "r2" || told[2] != "r3" || u.term.Load() != 4 {
		t.Errorf("told %v, term %d", told, u.term.Load())
	}
}

// newDeadLink is a link that nobody runs.
func newDeadLink() *link.Link[v1.AttachRequest, v1.AttachResponse] {
	return link.New[v1.AttachRequest, v1.AttachResponse](nil, link.Node, func(func()) {})
}
