//go:build e2e

package difference

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/ipmb/sdr"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return raw
}

// bytesOf writes bytes as ipmi_sim's commands take them.
func bytesOf(raw []byte) string {
	var s strings.Builder
	for _, b := range raw {
		fmt.Fprintf(&s, " 0x%02x", b)
	}
	return s.String()
}

// hexOf writes bytes as questions have them.
func hexOf(raw ...byte) string { return fmt.Sprintf("% x", raw) }

// data asks what must be answered, and gives what follows the completion code.
func (b *bmc) data(t *testing.T, request string) []byte {
	t.Helper()
	got := b.ask(t, request)
	if !strings.HasPrefix(got, "00") {
		t.Fatalf("%s answers %s to %s", b.name, got, request)
	}
	return unhex(t, got[2:])
}

// twinOf writes the file of an ipmi_sim that is what the node is, as far as it
// can be told: identity, GUID, records, sensors and FRU inventory.
func twinOf(t *testing.T, node *bmc) string {
	var s strings.Builder
	id := node.data(t, "06 01")
	fmt.Fprintf(&s, "mc_setbmc 0x20\nmc_add 0x20 0x%02x has-device-sdrs 0x%02x 0x%02x 0x%02x 0x%02x 0 0\n", id[0], id[1]&0x0F, id[2], id[3], id[5])
	fmt.Fprintf(&s, "mc_set_guid 0x20 %x\nsel_enable 0x20 4096 0x0f\n", node.data(t, "06 37"))
	fmt.Fprintf(&s, "mc_add_fru_data 0x20 0 %d data%s\n", 0x1000, bytesOf(readFRU(t, node)))
	for next := "00 00"; next != "ff ff"; {
		d := node.data(t, "0a 23 00 00 "+next+" 00 ff")
		next = fmt.Sprintf("% x", d[:2])
		fmt.Fprintf(&s, "main_sdr_add 0x20%s\ndevice_sdr_add 0x20 0%s\n", bytesOf(d[2:]), bytesOf(d[2:]))
		_, body, err := sdr.Parse(d[2:])
		if err != nil {
			t.Fatal(err)
		}
		switch r := body.(type) {
		case *sdr.Compact:
			addSensor(t, &s, node, r)
		case *sdr.Full:
			addMeasure(t, &s, node, r)
		}
	}
	return s.String() + "mc_enable 0x20\n"
}

// addSensor adds a sensor, in the state that the node's is in.
func addSensor(t *testing.T, s *strings.Builder, node *bmc, c *sdr.Compact) {
	fmt.Fprintf(s, "sensor_add 0x20 0 0x%02x 0x%02x 0x%02x\n", c.Number, uint8(c.Kind), uint8(c.EventType))
	fmt.Fprintf(s, "sensor_set_event_support 0x20 0 0x%02x enable scanning per-state %015b %015b %015b %015b\n",
		c.Number, c.Assert, c.Deassert, c.Assert, c.Deassert)
	for bit := range 8 {
		if node.data(t, fmt.Sprintf("04 2d %02x", c.Number))[2]>>bit&1 != 0 {
			fmt.Fprintf(s, "sensor_set_bit 0x20 0 0x%02x %d 1 0\n", c.Number, bit)
		}
	}
}

// addMeasure adds a sensor that measures, with what the node's reads.
func addMeasure(t *testing.T, s *strings.Builder, node *bmc, f *sdr.Full) {
	const thresholdStates = 0x0FFF // above them are those that can be read
	at := fmt.Sprintf("0x20 0 0x%02x", f.Number)
	l := f.Thresholds
	fmt.Fprintf(s, "sensor_add %s 0x%02x 0x%02x\n", at, uint8(f.Kind), uint8(f.EventType))
	fmt.Fprintf(s, "sensor_set_hysteresis %s settable 0x%02x 0x%02x\n", at, f.HystUp, f.HystDown)
	fmt.Fprintf(s, "sensor_set_threshold %s settable 111111%s\n", at, bytesOf([]byte{
		l.UpperNonRecoverable, l.UpperCritical, l.UpperNonCritical, l.LowerNonRecoverable, l.LowerCritical, l.LowerNonCritical,
	}))
	assert, deassert := f.Assert&thresholdStates, f.Deassert&thresholdStates
	fmt.Fprintf(s, "sensor_set_event_support %s enable scanning per-state %015b %015b %015b %015b\n", at, assert, deassert, assert, deassert)
	fmt.Fprintf(s, "sensor_set_value %s 0x%02x 0\n", at, node.data(t, fmt.Sprintf("04 2d %02x", f.Number))[0])
}

func readFRU(t *testing.T, b *bmc) (out []byte) {
	size := b.data(t, "0a 10 00")
	for at := 0; at < int(size[0])|int(size[1])<<8; at += 32 {
		out = append(out, b.data(t, fmt.Sprintf("0a 11 00 %02x %02x 20", byte(at), byte(at>>8)))[1:]...)
	}
	return out
}
