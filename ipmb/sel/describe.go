package sel

import (
	"fmt"
	"strings"

	"github.com/midplane-project/midplane/ipmb/picmg"
)

const fromUnspecified = 0xFF

// Describe tells a record in one line, without its id and time:
//
//	Temperature #0x30 Upper Critical going high (reading 0xff, threshold 0xff) asserted from 0x82
func Describe(r Record) string {
	switch {
	case r.Type == TypeSystem:
		return fmt.Sprintf("%s from %s", DescribeEvent(r.Event), r.Generator)
	case r.Type.Timed():
		return fmt.Sprintf("OEM record type 0x%02x manufacturer %d: % x", uint8(r.Type), r.Manufacturer, r.OEM[:oemTimedData])
	case r.Type == panicType:
		return fmt.Sprintf("OEM record type 0x%02x: % x %q", uint8(r.Type), r.OEM, printable(r.OEM[2:]))
	case r.Type >= TypeOEM:
		return fmt.Sprintf("OEM record type 0x%02x: % x", uint8(r.Type), r.OEM)
	}
	return fmt.Sprintf("Record of unknown type 0x%02x: % x", uint8(r.Type), r.OEM)
}

// panicType is how Linux stores a panic's message: the address of its
// controller, a counter and eleven characters (ipmi_msghandler.c, send_panic_events).
const panicType Type = 0xF0

// DescribeEvent tells an event in one line, without its generator.
func DescribeEvent(e Event) string {
	dir := "asserted"
	if e.Deassert {
		dir = "deasserted"
	}
	return fmt.Sprintf("%s #0x%02x %s %s", e.Sensor, e.Number, e.what(), dir)
}

func (e Event) what() string {
	if e.Type == EventSensor && (e.Sensor == SensorHotSwap || e.Sensor == SensorFRUState) {
		return e.hotSwap()
	}
	return e.State() + e.details()
}

// State names the threshold or state that the event is about.
func (e Event) State() string {
	names := genericOffsets[e.Type]
	if e.Type == EventSensor {
		names = sensorOffsets[e.Sensor]
	}
	if n := int(e.Offset()); n < len(names) && names[n] != "" {
		return names[n]
	}
	if e.Type >= EventOEM {
		return fmt.Sprintf("OEM event type 0x%02x offset %d", uint8(e.Type), e.Offset())
	}
	return fmt.Sprintf("event type 0x%02x offset %d", uint8(e.Type), e.Offset())
}

func (e Event) hotSwap() string {
	h, ok := picmg.ParseHotSwapEvent(e.Data)
	if !ok {
		s := picmg.State(e.Offset())
		return fmt.Sprintf("to %s (%s)%s", s, s.Name(), e.details())
	}
	return fmt.Sprintf("FRU %d to %s (%s), was %s: %s,", h.FRU, h.State, h.State.Name(), h.Previous, h.Cause)
}

// details tells event data 2 and 3 by the use that event data 1 gives them.
func (e Event) details() string {
	var parts []string
	if s := e.detail(e.Use2(), e.Data[1], "reading", "previous state"); s != "" {
		parts = append(parts, s)
	}
	if s := e.detail(e.Use3(), e.Data[2], "threshold", "data 3"); s != "" {
		parts = append(parts, s)
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func (e Event) detail(use DataUse, data byte, threshold, discrete string) string {
	switch {
	case use == UseNone:
		return ""
	case use == UseOEM:
		return fmt.Sprintf("OEM 0x%02x", data)
	case use == UseReading && e.Type == EventThreshold:
		return fmt.Sprintf("%s 0x%02x", threshold, data)
	case data == fromUnspecified:
		return ""
	case use == UseReading:
		return fmt.Sprintf("%s 0x%02x", discrete, data)
	}
	return fmt.Sprintf("extension 0x%02x", data)
}

// printable keeps what a terminal shows safely.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, string(b))
}
