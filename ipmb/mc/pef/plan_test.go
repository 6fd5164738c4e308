package pef

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// Of several actions on the system, one is taken; alerts are sent besides.
func TestDecide(t *testing.T) {
	does := func(a Action) Filter { return on(func(f *Filter) { f.Actions = a }) }
	alerts := func(policy uint8, s Severity) Filter {
		return on(func(f *Filter) { f.Actions, f.Policy, f.Severity = ActionAlert, policy, s })
	}
	other := on(func(f *Filter) { f.SensorType, f.Actions = 2, ActionPowerOff })
	for _, c := range []struct {
		name    string
		filters []Filter
		enabled Action
		want    string
	}{
		{"no filters", nil, actionsSupported, "00 by 0 []"},
		{"none matches", []Filter{other}, actionsSupported, "00 by 0 []"},
		{"one", []Filter{other, does(ActionReset)}, actionsSupported, "04 by 2 []"},
		{"power off before cycle", []Filter{does(ActionPowerCycle), does(ActionPowerOff)}, actionsSupported, "02 by 2 []"},
		{"cycle before reset", []Filter{does(ActionReset), does(ActionPowerCycle)}, actionsSupported, "08 by 2 []"},
		{"reset before interrupt", []Filter{does(ActionNMI), does(ActionReset)}, actionsSupported, "04 by 2 []"},
		{"all in one filter", []Filter{does(actionsSupported &^ ActionAlert)}, actionsSupported, "02 by 1 []"},
		{"globally disabled", []Filter{does(ActionPowerOff | ActionNMI)}, ActionNMI, "20 by 1 []"},
		{"first that asked", []Filter{does(ActionReset), does(ActionReset)}, actionsSupported, "04 by 1 []"},
		{"alert besides", []Filter{does(ActionReset | ActionAlert)}, actionsSupported, "05 by 1 [{0 1 0}]"},
		{"alerts off", []Filter{does(ActionReset | ActionAlert)}, actionsSupported &^ ActionAlert, "04 by 1 []"},
		{
			"alerts in order of their policies",
			[]Filter{alerts(3, 8), alerts(1, 2), alerts(3, 16)},
			actionsSupported,
			"01 by 0 [{1 2 2} {3 1 16}]",
		},
	} {
		p := decide(c.filters, c.enabled, hot)
		if got := fmt.Sprintf("%02x by %d %v", byte(p.Actions), p.Filter, p.Alerts); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestPolicyBytes(t *testing.T) {
	raw := unhex(t, "1A 21 85")
	p, err := ParsePolicy(raw)
	want := Policy{Number: 1, Enabled: true, Rule: RuleStop, Channel: 2, Destination: 1, EventSpecific: true, String: 5}
	if err != nil || p != want {
		t.Errorf("%+v, %v", p, err)
	}
	if got := p.Append(nil); !slices.Equal(got, raw) {
		t.Errorf("% x", got)
	}
	if _, err := ParsePolicy(unhex(t, "1D 21 85")); !errors.Is(err, ipmb.ErrInvalidField) {
		t.Errorf("reserved rule: %v", err)
	}
	if _, err := ParsePolicy(raw[:2]); !errors.Is(err, ipmb.ErrLength) {
		t.Errorf("short: %v", err)
	}
}

// A policy set, as rule@channel, or rule@channel.kind, with ! for a destination
// that cannot be alerted; and which of them are tried.
func TestWalk(t *testing.T) {
	for _, c := range []struct{ set, tried string }{
		{"0@1 0@2 0@3", "1 2 3"},
		{"0@1 1@2 1@3", "1"},
		{"0@1! 1@2 1@3", "1 2"},
		{"0@1! 1@2! 1@3", "1 2 3"},
		{"0@1 1@2 0@3", "1 3"},
		{"0@1 2@2 0@3", "1"},
		{"0@1! 2@2 0@3", "1 2 3"},
		{"0@1! 2@2 2@3 0@4", "1 2"},
		{"0@1 3@1 0@1 0@2", "1 4"},
		{"0@1! 3@1 0@1 0@2", "1 2 3 4"},
		{"0@1 3@2 0@1 0@2", "1 3 4"},
		{"0@1 4@2 0@3 0@4.1", "1 4"},
		{"0@1! 4@2 0@3.1", "1 2 3"},
		{"1@1", "1"}, // nothing before it had success
	} {
		var w walk
		var tried []string
		for i, s := range strings.Fields(c.set) {
			var rule Rule
			var channel, kind uint8
			good := !strings.HasSuffix(s, "!")
			if n, _ := fmt.Sscanf(s, "%d@%d.%d", &rule, &channel, &kind); n < 2 {
				t.Fatal(s)
			}
			if w.sends(Policy{Rule: rule, Channel: channel}, kind) {
				tried = append(tried, fmt.Sprint(i+1))
				w.result(good)
			}
		}
		if got := strings.Join(tried, " "); got != c.tried {
			t.Errorf("%s: tried %s, want %s", c.set, got, c.tried)
		}
	}
}

func TestPostpone(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	var p postpone
	steps := []struct {
		name string
		do   func() bool
		now  float64
		left byte
	}{
		{"off", func() bool { return !p.tick(at(0)) }, 0, 0},
		{"armed, nothing waits", func() bool { p.arm(10, at(0), false); return !p.tick(at(99)) }, 99, 10},
		{"an event", func() bool { p.follow(at(100), true); return !p.tick(at(100)) }, 100, 10},
		{"another later does not start it anew", func() bool { p.follow(at(104.5), true); return !p.tick(at(104.5)) }, 104.5, 6},
		{"software is quick", func() bool { p.follow(at(105), false); return !p.tick(at(200)) }, 200, 10},
		{"an event again", func() bool { p.follow(at(200), true); return !p.tick(at(209.9)) }, 209.9, 1},
		{"too late", func() bool { return p.tick(at(210)) && !p.tick(at(211)) }, 211, 0},
		{"disarmed until software arms it", func() bool { p.follow(at(212), true); return !p.tick(at(300)) }, 300, 0},
		{"armed while something waits", func() bool { p.arm(5, at(300), true); return !p.tick(at(304)) && p.tick(at(305)) }, 305, 0},
		{"off for good", func() bool { p.arm(postponeFor, at(400), true); return !p.tick(at(9999)) }, 9999, postponeFor},
		{"until told", func() bool { p.arm(postponeOff, at(9999), true); return !p.tick(at(9999)) }, 9999, 0},
	}
	for _, s := range steps {
		if !s.do() {
			t.Errorf("%s: ran out, or not", s.name)
		}
		if got := p.left(at(s.now)); got != s.left {
			t.Errorf("%s: %d left, want %d", s.name, got, s.left)
		}
	}
}
