package node

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/power"
)

// powerRows is the truth table once more, as it reads in DESIGN.md: state, then
// the outcome of on, off, cycle, reset, soft, nmi.
const powerRows = `
absent   refuse done refuse refuse refuse refuse
linked   done   end  refuse press  press  press
unknown  busy   end  busy   busy   busy   busy
off      start  done refuse refuse refuse refuse
held     start  done refuse refuse refuse refuse
ending   start  done refuse refuse refuse refuse
waiting  resume end  cycle  press  refuse refuse
running  done   end  cycle  press  press  press
paused   resume end  cycle  press  refuse refuse
crashed  start  end  cycle  cycle  refuse refuse
`

func TestPowerTruth(t *testing.T) {
	design, err := os.ReadFile("power/DESIGN.md")
	if err != nil || !strings.Contains(string(design), powerRows) {
		t.Errorf("DESIGN.md has another table: %v", err)
	}
	rows := strings.Split(strings.TrimSpace(powerRows), "\n")
	if len(rows) != int(powerStates) {
		t.Fatalf("%d rows for %d states", len(rows), powerStates)
	}
	for i, row := range rows {
		want := strings.Fields(row)
		s := powerState(i)
		if s.String() != want[0] {
			t.Fatalf("row %d is %s, want %s", i, s, want[0])
		}
		for r := range powerRequests {
			if got := decide(true, s, r); got.String() != want[1+r] {
				t.Errorf("%s of a VM that is %s: %s, want %s", r, s, got, want[1+r])
			}
			got, want := decide(false, s, r), refuse
			switch r {
			case requestOn:
				want = activate
			case requestOff:
				want = decide(true, s, r)
			}
			if got != want {
				t.Errorf("%s without a grant of a VM that is %s: %s, want %s", r, s, got, want)
			}
		}
	}
}

func TestPlace(t *testing.T) {
	for _, c := range []struct {
		state power.State
		condition
		want powerState
	}{
		{power.Absent, condition{}, stateAbsent},
		{power.Absent, condition{ending: true}, stateAbsent},
		{power.Unknown, condition{}, stateUnknown},
		{power.Unknown, condition{ending: true}, stateEnding},
		{power.Off, condition{wanted: true}, stateOff},
		{power.Off, condition{ending: true}, stateOff}, // its end is only not told yet
		{power.Shutdown, condition{}, stateOff},
		{power.Off, condition{held: true}, stateHeld},
		{power.Crashed, condition{own: true}, stateCrashed},
		{power.Crashed, condition{own: true, held: true}, stateHeld},
		{power.Prelaunch, condition{own: true}, stateWaiting},
		{power.Prelaunch, condition{own: true, ending: true}, stateEnding},
		{power.Prelaunch, condition{wanted: true}, stateWaiting},
		{power.Prelaunch, condition{}, stateOff},
		{power.Running, condition{}, stateRunning},
		{power.Suspended, condition{}, stateRunning},
		{power.Running, condition{held: true}, stateRunning}, // what runs is not held
		{power.Running, condition{ending: true}, stateEnding},
		{power.Paused, condition{}, statePaused},
	} {
		if got := place(c.state, c.condition); got != c.want {
			t.Errorf("%v %+v: %v, want %v", c.state, c.condition, got, c.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for s := range powerStates {
		for r := range powerRequests {
			for _, granted := range []bool{true, false} {
				o := decide(granted, s, r)
				if o != refuse && o != activate {
					continue
				}
				if err := powerRefusal(o, s, r); ipmb.CodeOf(err) != ipmb.ErrState || (o == activate) != errors.Is(err, ErrNotGranted) {
					t.Errorf("%v of %v: %v", r, s, err)
				}
			}
		}
	}
}
