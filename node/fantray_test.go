package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/template"
	"github.com/midplane-project/midplane/node/thermal"
)

// newTray makes a fan tray whose sensors are read until the test ends, for synctest.
func newTray(t *testing.T) *heated {
	return newClimateOf(t, ProfileFanTray, template.FanTray())
}

var fanRows = []row{
	{byShelf, "2c 00 00", "00 00 32 00 00"},
	{byShelf, "2c 01 00", "00 00 41 82 ff 00 01 04"},
	{byShelf, "2c 01 00 00 03 01 04", "00 00 41 82 ff 00 01 04"},
	{byShelf, "2c 01 00 00 03 01 00", "c9 00"},
	{byShelf, "2c 14 00 00", "00 00 14 64 32 80"},
	{byShelf, "2c 14 00 01", "cb 00"},
	{byShelf, "2c 14 00", "c7 00"},
	{byShelf, "2c 16 00 00", "00 00 ff 32 01"},
	{byShelf, "2c 16 00 01", "cb 00"},
	{byShelf, "2c 15 00 00 50", "00 00"},
	{byShelf, "2c 16 00 00", "00 00 50 32 00"},
	{byShelf, "2c 15 00 00 1e 01", "00 00"},
	{byShelf, "2c 16 00 00", "00 00 1e 32 01"},
	{byShelf, "2c 15 00 00 13", "c9 00"}, // below the lowest
	{byShelf, "2c 15 00 00 65", "c9 00"},
	{byShelf, "2c 15 00 01 50", "cb 00"},
	{byShelf, "2c 15 00 00 50 02", "cc 00"},
	{byShelf, "2c 15 00 00 ff 00", "cc 00"}, // nobody's control
	{byShelf, "2c 15 00 00", "c7 00"},
	{byShelf, "2c 16 00 00", "00 00 1e 32 01"}, // what is refused changes nothing
	{byShelf, "2c 15 00 00 fe", "00 00"},
	{byShelf, "2c 16 00 00", "00 00 fe 32 00"},
	{byShelf, "2c 15 00 00 ff", "00 00"},
	{byShelf, "2c 16 00 00", "00 00 ff 32 01"},
	// Nothing of a VM's.
	{byShelf, "2c 11 00 00 01 00", "c1"},
	{byShelf, "00 00", "c1"},
	{byShelf, "00 01", "c1"},
	{byShelf, "00 02 00", "c1"},
	{byShelf, "00 09 05 00 00", "c1"},
	{byShelf, "06 07", "c1"},
	{byShelf, "06 22", "c1"},
	{byShelf, "06 25", "c1"},
}

func TestFanCommands(t *testing.T) {
	b := newBoard(t, ProfileFanTray)
	asked := make(map[ipmb.CommandID]bool)
	for _, r := range fanRows {
		raw := unhex(t, r.ask)
		body, _, _ := ipmb.SplitBody(ipmb.NetFn(raw[0]), raw[2:])
		asked[ipmb.CommandID{NetFn: ipmb.NetFn(raw[0]), Body: body, Cmd: ipmb.Cmd(raw[1])}] = true
		if got := b.shelf(r.ask); !matches(got, r.want) {
			t.Errorf("%s: %s, want %s", r.ask, got, r.want)
		}
	}
	for _, c := range b.Commands() {
		if c.NetFn == ipmb.NetFnGroup && c.Body == ipmb.BodyPICMG && !asked[ipmb.CommandID{NetFn: c.NetFn, Body: c.Body, Cmd: c.Cmd}] {
			t.Errorf("%s has no exchange in the table", c.Name)
		}
	}
}

// Only an operator sets the level.
func TestFanPrivilege(t *testing.T) {
	b := newBoard(t, ProfileFanTray)
	o := ipmb.Origin{Door: ipmb.DoorIPMB, Privilege: ipmb.PrivilegeUser, Shelf: b.id.Shelf, Source: other}
	if got := b.ask(o, "2c 15 00 00 50"); !matches(got, "d4 00") {
		t.Error(got)
	}
	if got := b.ask(o, "2c 16 00 00"); !matches(got, "00 00 ff 32 01") {
		t.Error(got)
	}
}

// The level that was set is there after SIGKILL, and its fans turn with it.
func TestFanLevelIsKept(t *testing.T) {
	b := newBoard(t, ProfileFanTray)
	if got := b.shelf("2c 15 00 00 50"); !matches(got, "00 00") {
		t.Fatal(got)
	}
	b.kill()
	b.start()
	if got := b.shelf("2c 16 00 00"); !matches(got, "00 00 50 32 00") {
		t.Error(got)
	}
	if level, ok := b.fans.flow(); !ok || level != 0.8 {
		t.Error(level, ok)
	}
}

// What the level is shows in the fans' speed, a while later, and standing fans
// in the log.
func TestFanSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTray(t)
		b.pass(time.Minute)
		b.want("at first", map[string][2]float64{"Fan 1": {5000, 5000}, "Fan 4": {5000, 5000}})
		b.shelf("2c 15 00 00 64")
		b.pass(3 * time.Second)
		b.want("soon after full", map[string][2]float64{"Fan 1": {7500, 8700}})
		b.pass(time.Minute)
		b.want("full", map[string][2]float64{"Fan 1": {9950, 10000}, "Fan 2": {9950, 10000}, "Fan 3": {9950, 10000}, "Fan 4": {9950, 10000}})
		b.shelf("2c 15 00 00 14 01") // local control wants more
		b.pass(time.Minute)
		b.want("local", map[string][2]float64{"Fan 1": {5000, 5050}})
		if got := b.told(0); len(got) != 0 {
			t.Error("turning fans are no event:", got)
		}
		b.shelf("2c 15 00 00 fe")
		b.pass(time.Minute)
		b.want("shut down", map[string][2]float64{"Fan 1": {0, 50}})
		if got := b.told(0); len(got) < 4 {
			t.Error("standing fans are events:", got)
		}
	})
}

// More air cools a blade's processor; without trays the template's level stands.
func TestAirflowCools(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var level float64
		var blown bool
		b := newClimateOf(t, ProfileATCA, template.BuiltIn())
		b.sensors.climate.air = func() (float64, bool) { b.mu.Lock(); defer b.mu.Unlock(); return level, blown }
		blow := func(to float64, ok bool) float64 {
			b.mu.Lock()
			level, blown = to, ok
			b.mu.Unlock()
			b.pass(10 * time.Minute)
			return b.reads("CPU Temp")
		}
		b.set(thermal.Load{On: true, CPU: 1})
		still, slow, full, again := blow(0, false), blow(0.2, true), blow(1, true), blow(0, false)
		if !(slow > still && still > full && again == still) {
			t.Errorf("alone %g, slow %g, full %g, alone again %g °C", still, slow, full, again)
		}
	})
}
