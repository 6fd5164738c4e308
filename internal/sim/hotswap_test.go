package sim_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/internal/sim"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/picmg"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
)

const blade1 ipmb.Addr = 0x82

// A guest that powers its board off ends in M1, and who wants the board on has
// it in M4, both by the shelf manager, whoever is killed in the middle. The log
// has each transition once.
func TestHotSwapOfAShelf(t *testing.T) {
	for name, disturb := range map[string]func(w *sim.World){
		"in peace": func(*sim.World) {},
		"the leader is killed": func(w *sim.World) {
			leader := w.Leader().Name()
			w.KillReplica(leader)
			w.StartReplica(leader)
		},
		"the node is killed": func(w *sim.World) {
			w.StopNode("blade1", true)
			w.StartNode("blade1")
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { hotSwap(t, disturb) }) })
	}
}

func hotSwap(t *testing.T, disturb func(*sim.World)) {
	w := sim.NewWorld(t, 1, 2)
	defer w.Stop()
	guest := sim.NewGuest(w, 1, 2)
	halt := guest.Boot()
	if !w.Settle([]string{"blade1", "blade2"}) {
		return
	}
	time.Sleep(10 * time.Second)
	inState(t, w, picmg.M4)
	if !hasSensor(t, w) {
		t.Error("the repository of 0x20 has no FRU state sensor of blade1")
	}
	if err := guest.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	halt()
	disturb(w)
	inState(t, w, picmg.M1)

	if r := raw(t, w, blade1, ipmb.NetFnChassis, 0x02, 1); r.Code != ipmb.ErrState {
		t.Errorf("power on: %v", r.Code)
	}
	disturb(w)
	inState(t, w, picmg.M4)
	if r := raw(t, w, blade1, ipmb.NetFnGroup, picmg.CmdGetPowerLevel, 0, 0, 0); r.Code != ipmb.OK || r.Data[1] != 1 {
		t.Errorf("power level % x, %v", r.Data, r.Code)
	}
	time.Sleep(10 * time.Second)
	want := []string{"a53400", "a61500", "a10600", "a23100", "a31200", "a40300"}
	if got := transitions(w); !slices.Equal(got, want) {
		t.Errorf("the log has %q, want %q", got, want)
	}
}

// raw asks a controller as an administrator of the shelf does.
func raw(t *testing.T, w *sim.World, to ipmb.Addr, n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) ipmb.Response {
	t.Helper()
	for range 100 {
		if l := w.Leader(); l != nil {
			r, err := l.Raw(t.Context(), sim.Shelf, to, &ipmb.Request{
				NetFn: n, Cmd: cmd, Data: data,
				Origin: ipmb.Origin{Speaker: ipmb.SpeakerAPI, Door: ipmb.DoorAPI, Privilege: ipmb.PrivilegeAdmin},
			})
			if err == nil {
				return r
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%v does not answer", to)
	return ipmb.Response{}
}

// inState waits until blade1's sensor tells a state.
func inState(t *testing.T, w *sim.World, want picmg.State) {
	t.Helper()
	var got []byte
	for range 300 {
		if got = raw(t, w, blade1, ipmb.NetFnSensor, 0x2D, picmg.SensorFRUState).Data; len(got) > 2 && got[2] == 1<<want {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("sensor % x, want %v", got, want)
}

// transitions are the hot-swap events in the shelf's log.
func transitions(w *sim.World) (out []string) {
	for _, e := range w.Leader().State().Log(sim.Shelf, 0, 0) {
		if e.Record[10] == byte(sel.SensorHotSwap) && e.Source == blade1 {
			out = append(out, fmt.Sprintf("%x", e.Record[13:]))
		}
	}
	return out
}

// hasSensor reports whether the repository of 0x20 has blade1's sensor.
func hasSensor(t *testing.T, w *sim.World) bool {
	t.Helper()
	for id := sdr.FirstID; id != sdr.LastID; {
		r := raw(t, w, ipmb.AddrShelfManager, ipmb.NetFnStorage, 0x23, 0, 0, byte(id), byte(id>>8), 0, 0xFF)
		if r.Code != ipmb.OK {
			t.Fatalf("record %04x: %v", id, r.Code)
		}
		_, body, err := sdr.Parse(r.Data[2:])
		if c, ok := body.(*sdr.Compact); err == nil && ok && c.Kind == sel.SensorHotSwap && c.Owner == uint8(blade1) && c.Number == picmg.SensorFRUState {
			return true
		}
		id = binary.LittleEndian.Uint16(r.Data)
	}
	return false
}
