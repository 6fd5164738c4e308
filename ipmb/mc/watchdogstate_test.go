package mc

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// script runs a timer through steps such as "set 44310a002c01", "feed", "3s",
// "pause", "run", "reset", "off", "restart", and gives what it did, with the time
// since the beginning: "10s message" or "30s expired:hard reset".
func script(t *testing.T, steps string) (watchdogState, []string) {
	t.Helper()
	start := time.Unix(1e9, 0)
	now, s := start, watchdogState{}
	var did []string
	do := func(e watchdogEvent) {
		next, due := s.next(e, now)
		s = next
		for _, d := range due {
			did = append(did, describe(now.Sub(start), d))
		}
	}
	do(watchdogEvent{kind: watchdogSystem})
	for _, step := range strings.Split(steps, ", ") {
		word, arg, _ := strings.Cut(step, " ")
		switch word {
		case "set":
			b, err := hex.DecodeString(arg)
			if err != nil {
				t.Fatal(err)
			}
			set, err := parseWatchdogSet(b)
			if err != nil {
				t.Fatalf("%s: %v", step, err)
			}
			do(watchdogEvent{kind: watchdogSetting, set: set})
		case "feed":
			do(watchdogEvent{kind: watchdogFeed})
		case "reset":
			do(watchdogEvent{kind: watchdogSystemReset})
		case "off":
			do(watchdogEvent{kind: watchdogSystemOff})
		case "pause", "run":
			do(watchdogEvent{kind: watchdogSystem, paused: word == "pause"})
		case "restart":
			s.found = false
		default:
			d, err := time.ParseDuration(word)
			if err != nil {
				t.Fatal(err)
			}
			until := now.Add(d)
			for { // as the clock of a process does
				w, ok := s.wake()
				if !ok || now.Add(w).After(until) {
					break
				}
				now = now.Add(max(w, 0))
				do(watchdogEvent{kind: watchdogTime})
			}
			now = until
			do(watchdogEvent{kind: watchdogTime})
		}
	}
	return s, did
}

func describe(at time.Duration, e watchdogEffect) string {
	var s string
	if e.offset == WatchdogWarned {
		s = fmt.Sprintf("%v %v", at, e.interrupt)
	} else {
		s = fmt.Sprintf("%v expired:%v", at, e.action)
	}
	if e.log {
		s += fmt.Sprintf(" logged %d/%02x", e.offset, e.data2)
	}
	return s
}

func TestWatchdogStates(t *testing.T) {
	for _, c := range []struct {
		name, steps string
		did         string // joined with "; "
		running     bool
		expired     byte
		left        time.Duration
	}{
		{"never set", "feed, 1h", "", false, 0, 0},
		{"set is not started", "set 040100002c01, 1h", "", false, 0, 30 * time.Second},
		{"set with don't stop is not started either", "set 440100002c01, 1h", "", false, 0, 30 * time.Second},
		{"counts", "set 040100002c01, feed, 29.9s", "", true, 0, 100 * time.Millisecond},
		{"resets", "set 040100002c01, feed, 31s", "30s expired:hard reset logged 1/04", false, 0x10, 0},
		{"expires once", "set 040100002c01, feed, 1h", "30s expired:hard reset logged 1/04", false, 0x10, 0},
		{"does nothing but say so", "set 010000000a00, feed, 2s", "1s expired:none logged 0/01", false, 0x02, 0},
		{"powers down", "set 020200000a00, feed, 2s", "1s expired:power down logged 2/02", false, 0x04, 0},
		{"cycles", "set 030300000a00, feed, 2s", "1s expired:power cycle logged 3/03", false, 0x08, 0},
		{"OEM", "set 050100000a00, feed, 2s", "1s expired:hard reset logged 1/05", false, 0x20, 0},
		{"not logged, the first time", "set 840100000a00, feed, 2s, feed, 2s", "1s expired:hard reset; 3s expired:hard reset logged 1/04", false, 0x10, 0},
		{"fed in time", "set 040100002c01, feed, 20s, feed, 20s, feed, 20s", "", true, 0, 10 * time.Second},
		{"fed too late", "set 040100002c01, feed, 31s, feed, 1s", "30s expired:hard reset logged 1/04", true, 0x10, 29 * time.Second},
		{"zero is at once", "set 040100000000, feed", "0s expired:hard reset logged 1/04", false, 0x10, 0},
		{"set stops", "set 040100002c01, feed, 10s, set 040100002c01, 1h", "", false, 0, 30 * time.Second},
		{"don't stop goes on from the new countdown", "set 040100002c01, feed, 10s, set 440200006400, 11s", "20s expired:power down logged 2/04", false, 0x10, 0},
		{"don't stop with zero", "set 040100002c01, feed, 10s, set 440200000000", "10s expired:power down logged 2/04", false, 0x10, 0},
		{"message, then reset", "set 44310a002c01, feed, 31s", "20s message logged 8/34; 30s expired:hard reset logged 1/34", false, 0x10, 0},
		{"NMI", "set 04210a002c01, feed, 21s", "20s NMI logged 8/24", true, 0, 9 * time.Second},
		{"not logged warning", "set 84210a002c01, feed, 31s", "20s NMI; 30s expired:hard reset", false, 0x10, 0},
		{"an interval without an interrupt", "set 04010a002c01, feed, 31s", "30s expired:hard reset logged 1/04", false, 0x10, 0},
		{"warned at the end", "set 042100000a00, feed, 2s", "1s NMI logged 8/24; 1s expired:hard reset logged 1/24", false, 0x10, 0},
		{"warned at the beginning", "set 042101000a00, feed", "0s NMI logged 8/24", true, 0, time.Second},
		{"feeding after the warning does not help", "set 04210a002c01, feed, 21s, feed, 10s", "20s NMI logged 8/24; 30s expired:hard reset logged 1/24", false, 0x10, 0},
		{"setting does", "set 44210a002c01, feed, 21s, set 44210a002c01, 19s", "20s NMI logged 8/24", true, 0, 11 * time.Second},
		{"and warns again", "set 44210a002c01, feed, 21s, set 44210a002c01, 21s", "20s NMI logged 8/24; 41s NMI logged 8/24", true, 0, 9 * time.Second},
		{"stopped after the warning, it can be fed", "set 04210a002c01, feed, 21s, set 04210a002c01, feed, 1s", "20s NMI logged 8/24", true, 0, 29 * time.Second},
		{"flags are kept", "set 010000000a00, feed, 2s, set 040000000a00, feed, 2s", "1s expired:none logged 0/01; 3s expired:none logged 0/04", false, 0x12, 0},
		{"and cleared one by one", "set 010000000a00, feed, 2s, set 040000100a00, feed, 2s, set 040000020a00", "1s expired:none logged 0/01; 3s expired:none logged 0/04", false, 0x10, time.Second},
		{"stands still", "set 040100002c01, feed, 20s, pause, 1h", "", true, 0, 10 * time.Second},
		{"and goes on", "set 040100002c01, feed, 20s, pause, 1h, run, 9s", "", true, 0, time.Second},
		{"to the end", "set 040100002c01, feed, 20s, pause, 1h, run, 11s", "1h0m30s expired:hard reset logged 1/04", false, 0x10, 0},
		{"fed while it stands still", "set 040100002c01, feed, 20s, pause, 1h, feed, 1h, run, 1s", "", true, 0, 29 * time.Second},
		{"a reset stops the system's own", "set 040100002c01, feed, 20s, reset, 1h", "", false, 0, 10 * time.Second},
		{"but not what watches a boot", "set 010100002c01, feed, 20s, reset, 9s", "", true, 0, time.Second},
		{"power off stops all", "set 010100002c01, feed, 20s, off, 1h", "", false, 0, 10 * time.Second},
		{"a stopped one is started again", "set 040100002c01, feed, 20s, reset, 1h, feed, 1s", "", true, 0, 29 * time.Second},
		{"nothing happens before the system is found", "set 040100002c01, feed, 20s, restart, 1h", "", true, 0, 10 * time.Second},
		{"the time between counts", "set 040100002c01, feed, 20s, restart, 5s, run, 1s", "", true, 0, 4 * time.Second},
		{"it may have been up meanwhile", "set 040100002c01, feed, 20s, restart, 1m, run", "1m20s expired:hard reset logged 1/04", false, 0x10, 0},
		{"found paused", "set 040100002c01, feed, 20s, restart, 1m, pause, 1h, run, 1s", "", true, 0, 9 * time.Second},
		{"left paused", "set 040100002c01, feed, 20s, pause, restart, 1m, run, 1s", "", true, 0, 9 * time.Second},
		{"fed before it is found", "set 040100002c01, feed, 20s, restart, 1m, feed, 1s, run, 1s", "", true, 0, 28 * time.Second},
		{"found off", "set 040100002c01, feed, 20s, restart, 1m, off, pause, 1h", "", false, 0, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, did := script(t, c.steps)
			if got := strings.Join(did, "; "); got != c.did {
				t.Errorf("did %q, want %q", got, c.did)
			}
			if s.running != c.running || s.expired != c.expired || s.left != c.left {
				t.Errorf("running %v, expired %02x, left %v; want %v, %02x, %v", s.running, s.expired, s.left, c.running, c.expired, c.left)
			}
		})
	}
}

// What is kept is the timer that was.
func TestWatchdogKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := watchdogSet{watchdogSettings: watchdogSettings{
			use:     rapid.SampledFrom([]WatchdogUse{1, 2, 3, 4, 5}).Draw(t, "use"),
			dontLog: rapid.Bool().Draw(t, "don't log"), warning: rapid.Byte().Draw(t, "warning"),
			interrupt: rapid.SampledFrom([]WatchdogInterrupt{0, 1, 2, 3}).Draw(t, "interrupt"),
			action:    rapid.SampledFrom([]WatchdogAction{0, 1, 2, 3}).Draw(t, "action"),
		}}
		set.countdown = rapid.Uint16Min(10*uint16(set.warning)).Draw(t, "countdown")
		s := watchdogState{}.take(set, time.Unix(0, rapid.Int64().Draw(t, "at")))
		s.running, s.warned, s.paused = rapid.Bool().Draw(t, "running"), rapid.Bool().Draw(t, "warned"), rapid.Bool().Draw(t, "paused")
		s.expired = rapid.Byte().Draw(t, "expired") & watchdogFlags
		generation := rapid.Uint32().Draw(t, "generation")
		cell := s.appendCell(nil, generation)
		gotGeneration, got, err := parseWatchdogCell(cell)
		if err != nil || gotGeneration != generation || !got.at.Equal(s.at) {
			t.Fatalf("%d at %v, want %d at %v: %v", gotGeneration, got.at, generation, s.at, err)
		}
		if got.at = s.at; got != s {
			t.Fatalf("%+v, want %+v", got, s)
		}
	})
}

// What an earlier process left in one place and in the other.
func TestRestoreWatchdog(t *testing.T) {
	older := watchdogSettings{use: WatchdogOS, action: WatchdogHardReset, countdown: 300}
	newer := watchdogSettings{use: WatchdogOS, action: WatchdogPowerDown, countdown: 100}
	running := watchdogState{watchdogSettings: older, set: true, running: true, left: 7 * time.Second, at: time.Unix(1e9, 0)}
	record := func(generation uint32, s watchdogSettings) []byte {
		return appendWatchdogRecord(nil, generation, s, false, 0)
	}
	for name, c := range map[string]struct {
		cell, record []byte
		settings     watchdogSettings
		set, running bool
		left         time.Duration
		generation   uint32
	}{
		"nothing":                           {},
		"both":                              {running.appendCell(nil, 3), record(3, older), older, true, true, 7 * time.Second, 3},
		"a Set that was not answered":       {running.appendCell(nil, 3), record(4, newer), newer, true, true, 7 * time.Second, 4},
		"the host lost its power":           {nil, record(3, older), older, true, false, 30 * time.Second, 3},
		"a cell of another time":            {[]byte{1, 2, 3}, record(3, older), older, true, false, 30 * time.Second, 3},
		"the first Set was not answered":    {watchdogState{at: time.Unix(1e9, 0)}.appendCell(nil, 0), record(1, older), older, true, false, 30 * time.Second, 1},
		"forgotten":                         {watchdogState{at: time.Unix(1e9, 0)}.appendCell(nil, 3), nil, watchdogSettings{}, false, false, 0, 3},
		"being forgotten when it was ended": {running.appendCell(nil, 3), nil, older, true, true, 7 * time.Second, 3},
	} {
		generation, s, err := restoreWatchdog(c.cell, c.record)
		if err != nil || generation != c.generation || s.watchdogSettings != c.settings || s.set != c.set || s.running != c.running || s.left != c.left {
			t.Errorf("%s: %d, %+v, %v", name, generation, s, err)
		}
	}
	for _, bad := range [][]byte{{}, {1}, record(1, watchdogSettings{use: 7})} {
		if _, _, err := restoreWatchdog(nil, bad); err == nil {
			t.Errorf("record % x was read", bad)
		}
	}
}

func FuzzWatchdog(f *testing.F) {
	f.Add([]byte{0x44, 0x31, 0x0A, 0, 0x2C, 1})
	f.Add(watchdogState{set: true, watchdogSettings: watchdogSettings{use: 4}}.appendCell(nil, 9))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseWatchdogSet(b); err == nil {
			again, err := parseWatchdogSet(s.append(nil, s.dontStop, s.clear))
			if err != nil || again != s {
				t.Errorf("% x: %+v, then %+v, %v", b, s, again, err)
			}
		}
		if generation, s, err := parseWatchdogCell(b); err == nil {
			again, state, err := parseWatchdogCell(s.appendCell(nil, generation))
			if err != nil || again != generation || state != s {
				t.Errorf("% x: %+v, then %+v, %v", b, s, state, err)
			}
		}
	})
}
