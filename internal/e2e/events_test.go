//go:build e2e

package e2e_test

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"testing"

	"github.com/midplane-project/midplane/ipmb/sel"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// The sensors of ipmitool's sample events 1 and 2.
const (
	sampleTemperature = 0x30
	sampleVoltage     = 0x60
)

// TestEventsExactlyOnce has a guest tell of an event to its own controller and
// to the shelf manager. Both are in the shelf's log once, with the blade as
// their source.
func TestEventsExactlyOnce(t *testing.T) {
	s := blades.up(t)
	for _, b := range sides {
		t.Run(b.name, func(t *testing.T) {
			before := s.lastID(t)
			s.expect(t, b.name, []says{
				{"ipmitool event 1", 0, `Upper Critical`},
				{"ipmitool -b 0 -t 0x20 event 1", 0, `Upper Critical`},
				// A controller tells its events in their order: this one comes last.
				{"ipmitool event 2", 0, `Voltage`},
				{"ipmitool sel list | tail -n 2 | head -n 1", 0, `Temperature #0x30 \| Upper Critical going high`},
				{"ipmitool -b 0 -t 0x20 sel list", 0, `Temperature #0x30 \| Upper Critical going high`},
			})
			var temperatures int
			eventually(t, patience, "the last event reaches the shelf", func() error {
				temperatures = 0
				voltages := 0
				for _, e := range s.log(t, before) {
					switch n := sensorOf(t, e); {
					case fmt.Sprintf("0x%02x", e.Source) != b.addr || e.Speaker != v1.Speaker_SPEAKER_GUEST:
						return fmt.Errorf("an event from elsewhere: %v", e)
					case n == sampleTemperature:
						temperatures++
					case n == sampleVoltage:
						voltages++
					}
				}
				if voltages != 1 {
					return fmt.Errorf("%d voltage events", voltages)
				}
				return nil
			})
			if temperatures != 2 {
				t.Errorf("%d temperature events, want 2:\n%s", temperatures, s.do(t, "events"))
			}
		})
	}
}

// sensorOf reads an event's sensor, and checks that it names its source.
func sensorOf(t *testing.T, e *v1.EventEntry) uint8 {
	t.Helper()
	r, err := sel.Parse(e.Record)
	if err != nil {
		t.Fatalf("%v: %v", e, err)
	}
	// IPMI 2.0 table 32-1, byte 8: the IPMB address of who made the event.
	if e.Record[7] != byte(e.Source) {
		t.Errorf("event %d from %02x names %02x as its generator: %x", e.Id, e.Source, e.Record[7], e.Record)
	}
	return r.Event.Number
}

// TestGuestMayNot tries from a guest what would harm others. It is refused, and
// nothing has changed.
func TestGuestMayNot(t *testing.T) {
	s := blades.up(t)
	s.expect(t, "blade1", []says{
		{"ipmitool -b 0 -t 0x20 event 1", 0, ``},
		{"ipmitool -b 0 -t 0x84 event 1", 0, ``},
	})
	shelfSEL, otherSEL := s.do(t, "sel"), s.do(t, "sel", "blade2")
	before, vm := s.lastID(t), s.node(t, "blade2").VmPid
	const refused = `Insufficient privilege`
	s.expect(t, "blade1", []says{
		{"ipmitool -b 0 -t 0x20 sel clear", 1, refused},
		{"ipmitool -b 0 -t 0x20 sel delete 1", 1, refused},
		{`ipmitool -b 0 -t 0x20 sel time set "01/02/30 03:04:05"`, 1, refused},
		{"ipmitool -b 0 -t 0x84 sel clear", 1, refused},
		{"ipmitool -T 0x84 -B 0 -t 0x20 -b 0 sel clear", 1, refused},
		{"ipmitool -m 0x20 -b 0 -t 0x84 sel clear", 1, refused},
		{"midplane-guest send --target 0x84 0 2 0", 1, `cc (d4|c1)`},               // chassis control: off
		{"midplane-guest send --target 0x84 0x2c 0x11 0 0 0 0", 1, `cc d4`},        // set power level 0
		{"midplane-guest send --target 0x84 4 0 0x82 0", 1, `cc d4`},               // set event receiver
		{"midplane-guest send --target 0x84 6 2", 1, `cc (d4|c1)`},                 // cold reset
		{"midplane-guest raw 6 0x34 0 0x20 0xb0 0x30 0x82 0 1 0x4d", 1, `cc|send`}, // Linux keeps Send Message to itself
	})
	if got := s.do(t, "sel"); got != shelfSEL {
		t.Errorf("the shelf's SEL was\n%s\nand is now\n%s", shelfSEL, got)
	}
	if got := s.do(t, "sel", "blade2"); got != otherSEL {
		t.Errorf("the SEL of blade2 was\n%s\nand is now\n%s", otherSEL, got)
	}
	if st := s.node(t, "blade2"); st.VmState != "running" || st.VmPid != vm {
		t.Errorf("the VM of blade2 is %s, process %d after %d", st.VmState, st.VmPid, vm)
	}
	if got := s.lastID(t); got < before {
		t.Errorf("the event log ends at %d after %d", got, before)
	}
}

// TestForgedSource has a guest claim to be the shelf manager. The other
// controller sees who it is.
func TestForgedSource(t *testing.T) {
	s := blades.up(t)
	watch := s.trace(t, "blade2")
	s.expect(t, "blade1", []says{{"ipmitool -m 0x20 -b 0 -t 0x84 mc info", 0, `IPMI Version`}})
	for {
		e := watch.next(t)
		frame, err := hex.DecodeString(e.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		// rsAddr, netFn/LUN, checksum, rqAddr, sequence, command: IPMB 1.0 §2.11.
		if e.Kind != "ipmb" || len(frame) < 7 || frame[0] != 0x84 || frame[5] != 1 {
			continue
		}
		if frame[3] != 0x82 {
			t.Errorf("Get Device ID came as from %02x: %s", frame[3], e.Text)
		}
		return
	}
}

// traceJSON is what trace -o json prints, a line each.
type traceJSON struct {
	Kind, Bytes, Text string
}

// oem is the record of midplane-guest loop: 'M' 'P', the run's tag and the
// write's serial number.
func oem(record []byte) (tag string, serial uint32, ok bool) {
	if len(record) != 16 || record[2] != 0xe0 || string(record[3:5]) != "MP" {
		return "", 0, false
	}
	n, err := strconv.ParseUint(hex.EncodeToString(record[9:13]), 16, 32)
	return "0x" + hex.EncodeToString(record[5:9]), uint32(n), err == nil
}
