package mc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
)

const (
	oem     = "51 C0 04 00315A00" // version, type, length and body of a small record
	locator = "0100 51 12 0C 82 00 00 B6 000000 A0 60 00 C1 41"
)

// repository is an SDR repository that can be closed and opened again.
type repository struct {
	*mc.SDRRepository
	*ipmb.Mux
	own  *sdrs
	kept mc.Records
	asks []string // what the initialization agent asked
	busy chan struct{}
}

func newRepository(t testing.TB) *repository {
	t.Helper()
	r := &repository{own: &sdrs{changed: time.Unix(1, 0), list: []mc.SDRRecord{bytesOf(t, locator)}}, kept: &mc.MemoryRecords{}}
	r.open(t)
	return r
}

type fataler interface {
	Helper()
	Fatal(...any)
}

func (r *repository) open(t fataler) {
	t.Helper()
	var err error
	r.SDRRepository, err = mc.OpenSDRRepository(mc.SDRConfig{
		Own: r.own, Records: r.kept, Addr: 0x82,
		Sensors: ipmb.HandlerFunc(func(_ context.Context, q *ipmb.Request) ipmb.Response {
			r.asks = append(r.asks, fmt.Sprintf("%02x/%02x % x", uint8(q.NetFn), uint8(q.Cmd), q.Data))
			return ipmb.Response{}
		}),
		Spawn: func(f func(context.Context)) {
			if r.busy == nil {
				f(context.Background())
				return
			}
			go func() { <-r.busy; f(context.Background()) }()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Mux = ipmb.NewMux(r.SDRRepository.Commands())
}

// ask gives the whole answer in hex.
func (r *repository) ask(t testing.TB, o ipmb.Origin, request string) string {
	t.Helper()
	b := bytesOf(t, request)
	rs := r.ServeIPMI(t.Context(), &ipmb.Request{NetFn: ipmb.NetFn(b[0]), Cmd: ipmb.Cmd(b[1]), Data: b[2:], Origin: o})
	return fmt.Sprintf("%x", append([]byte{byte(rs.Code)}, rs.Data...))
}

func TestSDRRepositoryWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // starts at 386D4380h
		r := newRepository(t)
		run(t, r, admin, []exchange{
			{"info: its own record, added when first seen", "0A 20", "00 51 0100 FEFF 80436D38 FFFFFFFF 6F"},
			{"all free", "0A 21", "00 0210 1000 0010 0010 0F"},
			{"reserve", "0A 22", "00 0200"},
			{"add; the id is the repository's to choose", "0A 24 7700" + oem, "00 0040"},
			{"behind the controller's own", "0A 23 0000 0100 00 02", "00 0040 0100"},
			{"read back", "0A 23 0000 0040 00 FF", "00 FFFF 0040" + oem},
			{"counted; a second for each change", "0A 20", "00 51 0200 F0FF 81436D38 FFFFFFFF 6F"},
			{"a unit less is free", "0A 21", "00 0210 1000 FF0F FF0F 0F"},
			{"the reservation is gone", "0A 26 0200 0040", "C5"},
			{"delete without reservation", "0A 26 0000 0040", "C5"},
			{"add: shorter than it says", "0A 24 0000 51 C0 05 00315A00", "C7"},
			{"add: longer than it says", "0A 24 0000 51 C0 03 00315A00", "C7"},
			{"add: no header", "0A 24 0000 51 C0", "C7"},
			{"add: another version", "0A 24 0000 01 C0 04 00315A00", "CC"},
			{"add: a locator too short for one", "0A 24 0000 51 12 02 8200", "CC"},
			{"add: too long", "0A 24 0000 51 C0 EC" + strings.Repeat("00", 0xEC), "C8"},
			{"part", "0A 25 0300 0000 00 00 0000 51 C0 04", "00 0100"},
			{"not in order", "0A 25 0300 0100 04 00 00", "C9"},
			{"another's id", "0A 25 0300 0200 05 00 00", "CB"},
			{"no reservation", "0A 25 0000 0100 05 00 00", "C5"},
			{"neither more nor the last", "0A 25 0300 0100 05 02 00", "CC"},
			{"nothing in it", "0A 25 0300 0100 05 00", "C7"},
			{"the last", "0A 25 0300 0100 05 01 11223344", "00 0140"},
			{"read back", "0A 23 0000 0140 00 FF", "00 FFFF 0140 51 C0 04 11223344"},
			{"it is over", "0A 25 0400 0100 09 01 00", "CB"},
			{"all at once, longer than it says", "0A 25 0000 0000 00 01 0000 51 C0 03 11223344", "80"},
			{"begun", "0A 25 0400 0000 00 00 0000 51 C0 04", "00 0300"},
			{"begun anew by another", "0A 25 0400 0000 00 00 0000 51 C0 04", "00 0400"},
			{"the first is lost", "0A 25 0400 0300 05 01 11223344", "CB"},
			{"delete the controller's own", "0A 26 0400 0100", "CD"},
			{"delete what is not there", "0A 26 0400 0240", "CB"},
			{"delete", "0A 26 0400 0040", "00 0040"},
			{"gone", "0A 23 0000 0040 00 FF", "CB"},
			{"which cancels what was begun", "0A 25 0500 0400 05 01 11223344", "C5"},
			{"erased", "0A 20", "00 51 0200 F0FF 82436D38 80436D38 6F"},
			{"clear without the word", "0A 27 0500 434C00 AA", "CC"},
			{"clear, bad action", "0A 27 0500 434C52 01", "CC"},
			{"clear with an old reservation", "0A 27 0400 434C52 AA", "C5"},
			{"clear", "0A 27 0500 434C52 AA", "00 01"},
			{"status", "0A 27 0000 434C52 00", "00 01"},
			{"its own record stays", "0A 20", "00 51 0100 FEFF 82436D38 81436D38 6F"},
			{"and is the last", "0A 23 0000 FFFF 00 02", "00 FFFF 0100"},
			{"an id is not given twice", "0A 24 0000" + oem, "00 0240"},
			{"time", "0A 28", "00 80436D38"},
			{"set", "0A 29 00000040", "00"},
			{"read back", "0A 28", "00 00000040"},
			{"times of changes hold still", "0A 20", "00 51 0200 F0FF 83436D38 81436D38 6F"},
			{"later ones do not", "0A 24 0000" + oem, "00 0340"},
			{"no time", "0A 29 FFFFFFFF", "CC"},
		})
		before := r.ask(t, admin, "0A 20")
		time.Sleep(time.Hour)
		r.open(t)
		if got := r.ask(t, admin, "0A 20"); got != before || !strings.Contains(got, "00000040") {
			t.Errorf("after a restart %s, before %s", got, before)
		}
		if got := r.ask(t, admin, "0A 28"); got != "00100e0040" {
			t.Errorf("time after a restart and an hour: %s", got)
		}
	})
}

// A repository that is full says so, and is as it was.
func TestSDRRepositoryFull(t *testing.T) {
	r := newRepository(t)
	big := "0A 24 0000 51 C0 EB" + strings.Repeat("A5", 0xEB) // 240 bytes
	n := 0
	for ; r.ask(t, admin, big)[:2] == "00"; n++ {
	}
	if n != 64<<10/240 {
		t.Errorf("%d records of 240 bytes", n)
	}
	run(t, r, admin, []exchange{
		{"no room for that much", big, "C4"},
		{"16 bytes are free", "0A 21", "00 0210 1000 0100 0100 0F"},
		{"which are enough", "0A 24 0000" + oem, "00 1141"},
		{"full", "0A 24 0000" + oem, "C4"},
	})
	if got := r.ask(t, admin, "0A 20"); got[8:12] != "0000" || got[len(got)-2:] != "ef" {
		t.Errorf("info %s, want nothing free and the overflow flag", got)
	}
	r.open(t)
	if got := r.ask(t, admin, "0A 24 0000"+oem); got != "c4" {
		t.Errorf("after a restart: %s", got)
	}
	reservation := r.ask(t, admin, "0A 22")[2:]
	if got := r.ask(t, admin, "0A 26"+reservation+"0040"); got != "000040" {
		t.Error(got)
	}
	if got := r.ask(t, admin, "0A 20"); got[8:12] != "f000" || got[len(got)-2:] != "6f" {
		t.Errorf("info after a deletion %s", got)
	}
}

// What the controller itself provides may change; that changes the times and
// ends reservations, once.
func TestSDRRepositoryOwnRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRepository(t)
		run(t, r, admin, []exchange{{"reserve", "0A 22", "00 0200"}, {"add", "0A 24 0000" + oem, "00 0040"}})
		time.Sleep(time.Hour)
		r.own.list = append(r.own.list, bytesOf(t, "0200"+oem))
		r.own.changed = time.Now()
		for range 2 {
			run(t, r, admin, []exchange{
				{"changed", "0A 20", "00 51 0300 F0FF 90516D38 90516D38 6F"},
				{"reservation", "0A 22", "00 0500"},
				{"in between", "0A 23 0000 0200 00 02", "00 0040 0200"},
			})
			time.Sleep(time.Hour)
			r.open(t)
		}
	})
}

// In update mode one has the repository for itself, for a while.
func TestSDRUpdateMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRepository(t)
		other := ipmb.Origin{Door: ipmb.DoorIPMB, Privilege: ipmb.PrivilegeAdmin, Source: 0x84}
		run(t, r, admin, []exchange{{"nothing to end", "0A 2B", "D5"}, {"enter", "0A 2A", "00"}, {"again", "0A 2A", "00"}})
		shut := []exchange{
			{"reserve", "0A 22", "D0"},
			{"get", "0A 23 0000 0000 00 FF", "D0"},
			{"add", "0A 24 0000" + oem, "D0"},
			{"add a part", "0A 25 0000 0000 00 00 00", "D0"},
			{"delete", "0A 26 0000 0100", "D0"},
			{"clear", "0A 27 0000 434C52 AA", "D0"},
			{"set time", "0A 29 00000000", "D0"},
			{"enter", "0A 2A", "D0"},
			{"exit", "0A 2B", "D0"},
			{"run the agent", "0A 2C 00", "D0"},
			{"info is open", "0A 20", "00 51 0100 FEFF 80436D38 FFFFFFFF 6F"},
			{"allocation too", "0A 21", "00 0210 1000 0010 0010 0F"},
		}
		run(t, r, other, shut)
		time.Sleep(59 * time.Second)
		run(t, r, admin, []exchange{{"its owner adds", "0A 24 0000" + oem, "00 0040"}})
		time.Sleep(59 * time.Second)
		run(t, r, other, shut[:2])
		time.Sleep(time.Second)
		run(t, r, other, []exchange{
			{"a minute of silence ends it", "0A 22", "00 0300"}, {"another enters", "0A 2A", "00"}, {"and leaves", "0A 2B", "00"},
		})
		run(t, r, admin, []exchange{{"open", "0A 24 0000" + oem, "00 0140"}})
	})
}

// The initialization agent sets up the controller's own sensors.
func TestSDRInitializationAgent(t *testing.T) { synctest.Test(t, testAgent) }

func testAgent(t *testing.T) {
	r := newRepository(t)
	add := func(b sdr.Body) {
		t.Helper()
		record, err := sdr.Marshal(0, b)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.ask(t, admin, fmt.Sprintf("0A 24 %x", record)); got[:2] != "00" {
			t.Fatal(got)
		}
	}
	temperature := &sdr.Full{
		Sensor: sdr.Sensor{
			Key: sdr.Key{Owner: 0x82, Number: 7}, Kind: sel.SensorTemperature, EventType: sel.EventThreshold,
			Init:         sdr.InitType | sdr.InitThresholds | sdr.InitHysteresis | sdr.InitEvents | sdr.InitScanning,
			Capabilities: sdr.Capabilities{Hysteresis: sdr.AccessSet, Thresholds: sdr.AccessSet},
			Assert:       0x7A95, Deassert: 0x7A95, Readable: 0x1B3F,
		},
		Thresholds: sdr.Thresholds{UpperNonRecoverable: 6, UpperCritical: 5, UpperNonCritical: 4, LowerNonRecoverable: 3, LowerCritical: 2, LowerNonCritical: 1},
		HystUp:     8, HystDown: 9,
	}
	add(temperature)
	neighbours := *temperature
	neighbours.Owner = 0x84
	add(&neighbours)
	add(&sdr.Compact{
		Sensor:  sdr.Sensor{Key: sdr.Key{Owner: 0x82, Number: 0x20}, Init: sdr.InitScanning | sdr.InitEventsAtPowerUp},
		Sharing: sdr.Sharing{Count: 2},
	})
	add(&sdr.EventOnly{Key: sdr.Key{Owner: 0x82, Number: 0x30}})

	run(t, r, admin, []exchange{{"idle", "0A 2C 00", "00 01"}})
	if len(r.asks) > 0 {
		t.Errorf("asked without being run: %q", r.asks)
	}
	r.busy = make(chan struct{})
	run(t, r, admin, []exchange{{"run", "0A 2C 01", "00 00"}, {"again", "0A 2C 01", "00 00"}, {"under way", "0A 2C 00", "00 00"}})
	close(r.busy)
	synctest.Wait()
	run(t, r, admin, []exchange{{"done", "0A 2C 00", "00 01"}})
	want := []string{
		"04/2e 07 01 01",
		"04/26 07 1b 01 02 03 04 05 06",
		"04/24 07 ff 08 09",
		"04/28 07 d0 95 0a 95 0a",
		"04/28 20 c0",
		"04/28 21 c0",
	}
	if got := strings.Join(r.asks, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("asked\n%s", got)
	}
}

// failing is records on a disk that fails.
type failing struct {
	mc.Records
	err error
}

func (f *failing) PutAll(v map[string][]byte) error {
	if f.err != nil {
		return f.err
	}
	return f.Records.PutAll(v)
}

// What could not be stored is not answered as done, and not there.
func TestSDRRepositoryNotStored(t *testing.T) {
	r := newRepository(t)
	disk := &failing{Records: r.kept}
	r.kept = disk
	r.open(t)
	run(t, r, admin, []exchange{{"add", "0A 24 0000" + oem, "00 0040"}})
	before, reservation := r.ask(t, admin, "0A 20"), r.ask(t, admin, "0A 22")[2:]
	disk.err = errors.New("disk full")
	run(t, r, admin, []exchange{
		{"add", "0A 24 0000" + oem, "FF"},
		{"delete", "0A 26" + reservation + "0040", "FF"},
		{"clear", "0A 27" + reservation + "434C52 AA", "FF"},
		{"set time", "0A 29 00000040", "FF"},
		{"there", "0A 23 0000 0040 00 FF", "00 FFFF 0040" + oem},
	})
	if got := r.ask(t, admin, "0A 20"); got != before {
		t.Errorf("info %s, was %s", got, before)
	}
}

// Records that are none of ours keep the repository shut.
func TestSDRRepositorySpoilt(t *testing.T) {
	for name, value := range map[string][]byte{"sdr/info": {1}, "sdr/record/4000": {1, 2}} {
		kept := &mc.MemoryRecords{}
		if err := kept.Put(name, value); err != nil {
			t.Fatal(err)
		}
		if _, err := mc.OpenSDRRepository(mc.SDRConfig{Own: &sdrs{}, Records: kept}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
