package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/power/powertest"
)

// sensorRows have an exchange for each sensor command, after commandRows.
var sensorRows = []row{
	{byGuest, "04 20", "00 0d 01"},
	{byShelf, "04 20 01", "00 0e 01"},
	{byShelf, "04 21 00 00 00 00 00 05", "00 02 00 01 00 51 12 11"},
	{
		byShelf, "04 21 00 00 02 00 00 ff", "00 03 00 02 00 51 02 25 82 00 10 a0 60 83 40 22 6f 29 00 00 00 29 00 c0 00 00" +
			" 01 00 00 00 00 00 00 00 ca 41 43 50 49 20 53 74 61 74 65",
	},
	{byShelf, "04 21 00 00 02 00 05 05", "c5"},
	{byGuest, "04 22", "00 xx xx"},
	{byGuest, "04 23 10 00", "cd"}, // no sensor of the node's own has a value
	{byGuest, "04 24 10 ff 01 01", "cd"},
	{byGuest, "04 25 10 ff", "cd"},
	{byGuest, "04 26 10 01 00 00 00 00 00 00", "cd"},
	{byGuest, "04 27 10", "cd"},
	{byGuest, "04 28 10 c0", "00"},
	{byGuest, "04 29 10", "00 c0 29 00 00 00"},
	{byGuest, "04 2a 10 00", "00"},
	{byGuest, "04 2b 10", "00 e0 00 00 00 00"}, // nobody has said where the VM is
	{byGuest, "04 2d 10", "00 00 e0 00 80"},
	{byGuest, "04 2d 13", "00 00 c0 00 80"},
	{byGuest, "04 2d 40", "cb"},
	{byGuest, "04 2e 10 22 6f", "cd"},
	{byGuest, "04 2f 10", "00 22 6f"},
	{byGuest, "04 30 10 20 00 01 00", "00"},
	{byGuest, "04 2d 10", "00 00 c0 01 80"},
}

// logged gives the event bodies in the log, oldest first, from the n-th on.
func (b *board) logged(from int) string {
	b.sel.mu.RLock()
	defer b.sel.mu.RUnlock()
	var out []string
	for _, r := range b.sel.rows[from:] {
		out = append(out, fmt.Sprintf("%x", r.entry[7:]))
	}
	return strings.Join(out, " ")
}

// The repository has the sensors' records behind the locator, as the device
// SDRs have, and one can tell what they are by them.
func TestSensorRecords(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	var names []string
	id := "00 00"
	for id != "ff ff" {
		got := b.guest("0a 23 00 00 " + id + " 00 ff")
		if device := b.shelf("04 21 00 00 " + id + " 00 ff"); device != got {
			t.Errorf("record %s: %s in the repository, %s of the device", id, got, device)
		}
		raw := unhex(t, got)
		_, body, err := sdr.Parse(raw[3:])
		if err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		if c, ok := body.(*sdr.Compact); ok {
			names = append(names, c.Name)
			read := b.guest(fmt.Sprintf("04 2d %02x", c.Number))
			if !strings.HasPrefix(read, "00") || c.Owner != uint8(self) || c.Entity.Instance != sdr.DeviceRelative {
				t.Errorf("%s, of %+v: %s", c.Name, c.Key, read)
			}
		}
		id = fmt.Sprintf("% x", raw[1:3])
	}
	want := []string{"ACPI State", "VM State", "Power Unit", "Button", "OS Stop", "System Event", "Event Log", "Watchdog", "OS Boot", "Processor", "Memory", "IPMB Link", "FRU State"}
	if !slices.Equal(names, want) {
		t.Errorf("sensors %q, want %q", names, want)
	}
}

// An event of the node's own goes into its log and to its receiver, as of the
// controller itself.
func TestSensorEventPaths(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	b.shelf("04 00 20 00")
	b.guest("06 2e 0c")
	if got := b.guest("00 02 05"); got != "00" { // soft shutdown
		t.Fatal(got)
	}
	if got, want := b.logged(0), "82000414136f00ffff"; got != want {
		t.Errorf("logged %s, want %s", got, want)
	}
	if got := b.guest("06 35"); !strings.HasSuffix(got, "82 00 04 14 13 6f 00 ff ff") {
		t.Errorf("buffered %s", got)
	}
	if len(b.outbox.events) != 1 || string(b.outbox.events[0].Body) != "\x04\x14\x13\x6f\x00\xff\xff" {
		t.Errorf("for the shelf: %v", b.outbox.events)
	}
	if got := b.guest("00 02 02"); got != "00" { // power cycle
		t.Fatal(got)
	}
	if got, want := b.logged(1), "82000409126f01ffff"; got != want {
		t.Errorf("logged %s, want %s", got, want)
	}
	b.vm.fail = ErrVMOff
	b.guest("00 02 05")
	b.guest("00 02 02")
	b.guest("04 28 13 40")
	b.vm.fail = nil
	b.guest("00 02 05")
	if got := b.logged(2); got != "" {
		t.Errorf("of presses that cannot be, or whose events are off: %s", got)
	}
}

// Events by raw exchange and by the log: what each state of the VM shows.
func TestVMSensors(t *testing.T) {
	b := newBoard(t, ProfileServer)
	// reads gives the states of ACPI, VM, power unit and OS stop.
	reads := func() string {
		var s []string
		for _, n := range []string{"10", "11", "12", "14"} {
			got := b.guest("04 2d " + n)
			if got[6:8] == "e0" {
				s = append(s, "-")
			} else {
				s = append(s, got[9:11])
			}
		}
		return strings.Join(s, " ")
	}
	if got := reads(); got != "- - - -" {
		t.Errorf("before anything is known: %s", got)
	}
	b.sensors.vmFound(power.Off)
	guestOff := power.Event{Kind: power.EventShutdown, Guest: true, Reason: guestShutdown, State: power.Running}
	from := 0
	for _, c := range []struct {
		name string
		e    power.Event
		ours bool
		read string
		told string // sensor type, number and what follows of each event
	}{
		{"started", power.Event{Kind: power.EventStarted, State: power.Prelaunch}, false, "01 08 00 00", "0912ef00 22106f00"},
		{"runs", power.Event{Kind: power.EventResume, State: power.Running}, false, "01 01 00 00", "c0110a00"},
		{"paused", power.Event{Kind: power.EventStop, State: power.Paused}, false, "01 20 00 00", "c0110a05"},
		{"goes on", power.Event{Kind: power.EventResume, State: power.Running}, false, "01 01 00 00", "c0110a00"},
		{"sleeps", power.Event{Kind: power.EventSuspend, State: power.Suspended}, false, "08 80 00 00", "22106f03 c0110a07"},
		{"wakes", power.Event{Kind: power.EventWakeup, State: power.Running}, false, "01 01 00 00", "22106f00 c0110a00"},
		{"monitor lost", power.Event{Kind: power.EventLost, State: power.Unknown}, false, "- - - 00", ""},
		{"found again", power.Event{Kind: power.EventStarted, State: power.Running}, false, "01 01 00 00", ""},
		{"panicked", power.Event{Kind: power.EventPanicked, State: power.Crashed}, false, "20 10 01 02", "20146f01 09126f00 22106f05 c0110a04"},
		{"reset", power.Event{Kind: power.EventReset, State: power.Running}, false, "01 01 00 00", "0912ef00 22106f00 c0110a00"},
		{"shuts down", guestOff, false, "01 01 00 08", "20146f03"},
		{"off", power.Event{Kind: power.EventExited, State: power.Off}, false, "20 04 01 08", "09126f00 22106f05 c0110a02"},
		{"started", power.Event{Kind: power.EventStarted, State: power.Prelaunch}, false, "01 08 00 00", "0912ef00 22106f00"},
		{"ended by us", guestOff, true, "01 01 00 00", "c0110a00"},
	} {
		b.sensors.vmHappened(c.e, c.ours)
		if got := reads(); got != c.read {
			t.Errorf("%s: reads %s, want %s", c.name, got, c.read)
		}
		var told []string
		for _, r := range strings.Fields(b.logged(from)) {
			told = append(told, r[6:14])
			from++
		}
		if got := strings.Join(told, " "); got != c.told {
			t.Errorf("%s: told %s, want %s", c.name, got, c.told)
		}
	}
}

// A VM that is found in a state makes no event of it.
func TestVMFound(t *testing.T) {
	for state, want := range map[power.State]string{
		power.Running: "00 00 c0 01 80", power.Off: "00 00 c0 20 80", power.Unknown: "00 00 e0 00 80",
	} {
		b := newBoard(t, ProfileServer)
		b.sensors.vmFound(state)
		if got := b.guest("04 2d 10"); got != want {
			t.Errorf("%v: ACPI sensor %s, want %s", state, got, want)
		}
		if got := b.logged(0); got != "" {
			t.Errorf("%v: logged %s", state, got)
		}
	}
}

// The keeper tells the sensors what happens to the VM.
func TestHostTellsItsWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, ProfileServer)
		v := powertest.New()
		v.SetState(power.Running)
		h := newHost(v, t.TempDir(), true, func(bool) error { return nil }, slog.New(slog.DiscardHandler))
		h.door, h.watch = &fakeDoor{vm: v}, b.sensors
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- h.run(ctx) }()
		synctest.Wait()
		if got := b.guest("04 2d 11"); got != "00 00 c0 01 80" {
			t.Errorf("of a VM that was there: %s", got)
		}
		v.GuestPoweroff()
		synctest.Wait()
		if got := b.guest("04 2d 11"); got != "00 00 c0 04 80" {
			t.Errorf("of one that powered itself off: %s", got)
		}
		if got := b.guest("04 2d 14"); got != "00 00 c0 08 80" {
			t.Errorf("its operating system: %s", got)
		}
		if got := b.logged(0); !strings.HasPrefix(got, "82000420146f03ffff ") {
			t.Errorf("logged %s", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Set SEL Time tells of itself before and after.
func TestClockSync(t *testing.T) {
	b := newBoard(t, ProfileServer)
	if got := b.guest("0a 49 00 00 00 60"); got != "00" {
		t.Fatal(got)
	}
	if got, want := b.logged(0), "82000412156fc500ff 82000412156fc580ff"; got != want {
		t.Errorf("logged %s, want %s", got, want)
	}
	if second := b.guest("0a 43 00 00 02 00 00 ff"); second[18:29] != "00 00 00 60" {
		t.Errorf("the second one at %s", second)
	}
}

// The log's sensor follows the log: almost full, full, and room again. Its
// events are the log's own, and can be switched off.
func TestLogSensor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, ProfileServer)
		b.sel.limit = 20
		fill := func(records int) {
			t.Helper()
			for len(b.sel.rows) < records {
				b.guest("0a 44 00 00 02 00 00 00 00 20 00 04 02 30 01 57 ff ff")
			}
			synctest.Wait()
		}
		reads := func(when, want string) {
			t.Helper()
			if got := b.guest("04 2d 16"); got != want {
				t.Errorf("%s: reads %s, want %s", when, got, want)
			}
		}
		fill(17)
		reads("with room", "00 00 c0 00 80")
		fill(18)
		reads("almost full", "00 00 c0 20 80")
		if got, want := b.logged(18), "82000410166f35ff5a"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
		fill(20)
		reads("full", "00 00 c0 30 80")
		b.stop()
		b.start()
		b.sel.limit = 20
		b.guest("0a 47 01 00 43 4c 52 aa")
		synctest.Wait()
		reads("cleared", "00 00 c0 00 80")
		b.guest("04 28 16 40")
		fill(18)
		reads("almost full, events off", "00 00 40 20 80")
		if len(b.sel.rows) != 18 {
			t.Errorf("told %s", b.logged(18))
		}
	})
}

// A log that was almost full before has a sensor that says so.
func TestLogIsAlmostFullAtStart(t *testing.T) {
	b := newBoard(t, ProfileServer)
	const almost = DefaultSELCapacity*selAlmostFullPercent/100 + 1
	c := selChange{meta: b.sel.meta}
	for range almost {
		b.sel.stage(&c, mc.SELEntry{2: mc.SELTypeSystem})
	}
	if err := b.db.Update(func(tx *kv.Tx) error { return b.sel.save(tx, &c) }); err != nil {
		t.Fatal(err)
	}
	b.kill()
	b.start()
	if got := b.guest("04 2d 16"); got != "00 00 c0 20 80" {
		t.Errorf("reads %s", got)
	}
	if got := b.logged(almost); got != "" {
		t.Errorf("told %s", got)
	}
}

// What another part of the controller tells the watchdog's sensor is logged.
func TestWatchdogSensor(t *testing.T) {
	b := newBoard(t, ProfileServer)
	b.sensors.note(b.sensors.Pulse(sensorWatchdog, 1, 0x04, mc.NoData))
	if got, want := b.logged(0), "82000423176fc104ff"; got != want {
		t.Errorf("logged %s, want %s", got, want)
	}
}

// Event enables are on disk when they are answered.
func TestSensorSettingsSurvive(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	b.guest("04 28 13 40")
	b.kill()
	b.start()
	if got := b.guest("04 29 13"); got != "00 40 01 00 00 00" {
		t.Errorf("after a kill: %s", got)
	}
}

// No reading waits for an event that is being written.
func TestReadingWhileTheDiskStands(t *testing.T) {
	b := newBoard(t, ProfileServer)
	b.sel.write.Lock()
	told := make(chan struct{})
	go func() {
		defer close(told)
		b.sensors.note(b.sensors.Assert(sensorWatchdog, 1, mc.NoData, mc.NoData))
	}()
	for deadline := time.Now().Add(time.Minute); b.guest("04 2d 17") != "00 00 c0 02 80"; {
		if time.Now().After(deadline) {
			t.Fatal("never asserted")
		}
	}
	b.sel.write.Unlock()
	<-told
}

// Every name and state in the table is one that the log can tell.
func TestSensorTable(t *testing.T) {
	for _, d := range discreteSensors {
		for o := range uint8(15) {
			if d.states>>o&1 == 0 {
				continue
			}
			e := sel.Event{Sensor: d.kind, Type: d.eventType, Data: [3]byte{o}}
			if s := e.State(); strings.Contains(s, "offset") {
				t.Errorf("%s: state %d is %q", d.name, o, s)
			}
		}
		if (d.come|d.gone)&^d.states != 0 {
			t.Errorf("%s makes events of states that it has not", d.name)
		}
	}
}
