package pef

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// value reads the first value of b, which must have a tag, and gives what
// follows it.
func value(t testing.TB, b []byte, tag byte) (content, rest []byte) {
	t.Helper()
	if len(b) < 2 || b[0] != tag {
		t.Fatalf("% x: no value with tag %02x", b, tag)
	}
	n, at := int(b[1]), 2
	if n >= 0x80 {
		at += n & 0x7F
		n = 0
		for _, c := range b[2:at] {
			n = n<<8 | int(c)
		}
	}
	if len(b) < at+n {
		t.Fatalf("% x: %d bytes are missing", b, at+n-len(b))
	}
	return b[at : at+n], b[at+n:]
}

func number(b []byte) (n uint64) {
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

// received is a trap as its receiver reads it.
type received struct {
	community, agent string
	specific, ticks  uint64
	variable         []byte
}

// parseTrap reads an SNMPv1 trap and checks what is always the same.
func parseTrap(t testing.TB, b []byte) (r received) {
	t.Helper()
	message, rest := value(t, b, 0x30)
	if len(rest) != 0 {
		t.Fatalf("% x after the message", rest)
	}
	version, message := value(t, message, 0x02)
	community, message := value(t, message, 0x04)
	pdu, message := value(t, message, 0xA4)
	enterprise, pdu := value(t, pdu, 0x06)
	agent, pdu := value(t, pdu, 0x40)
	generic, pdu := value(t, pdu, 0x02)
	specific, pdu := value(t, pdu, 0x02)
	ticks, pdu := value(t, pdu, 0x43)
	bindings, pdu := value(t, pdu, 0x30)
	binding, bindings := value(t, bindings, 0x30)
	name, binding := value(t, binding, 0x06)
	variable, binding := value(t, binding, 0x04)
	if left := len(message) + len(pdu) + len(bindings) + len(binding); left != 0 {
		t.Errorf("%d bytes too many", left)
	}
	const oid = "\x2b\x06\x01\x04\x01\x98\x6f\x01\x01"
	if number(version) != 0 || number(generic) != 6 || string(enterprise) != oid || string(name) != oid+"\x01" {
		t.Errorf("version % x, generic % x, enterprise % x, variable % x", version, generic, enterprise, name)
	}
	a, _ := netip.AddrFromSlice(agent)
	return received{string(community), a.String(), number(specific), number(ticks), variable}
}

// TestTrap reads a trap byte by byte.
func TestTrap(t *testing.T) {
	inBench(t, func(t *testing.T, b *bench) {
		b.set(filter9("01"), enable, "04 12 09 01 18 11 03", "04 12 0D 03 01 486F7421")
		time.Sleep(1234 * time.Millisecond)
		b.happens(tooHot)
		sent := b.net.took()
		if len(sent) != 1 || sent[0].to != "10.0.0.1:162" {
			t.Fatalf("sent %v", sent)
		}
		r := parseTrap(t, sent[0].data)
		if r.community != "public" || r.agent != "10.0.0.9" || r.specific != 0x010109 || r.ticks != 123 {
			t.Errorf("%+v", r)
		}
		want := "000102030405060708090A0B0C0D0E0F 0001" + // GUID, sequence number
			"2A552380 FFFF 20 20 10 20 30 07 01" + // time, offset, sources, severity, device, sensor, entity
			"594B46 0000000000 FF 0000315A 4321" + // event data, language, manufacturer, system
			"C4 486F7421 C1" // alert string
		if got := fmt.Sprintf("%X", r.variable); got != strings.ReplaceAll(want, " ", "") {
			t.Errorf("variable %s\n    want %s", got, strings.ReplaceAll(want, " ", ""))
		}
	})
}

func TestTrapFields(t *testing.T) {
	src := &Source{Entity: entityOfSensor}
	variable := func(tr trap) []byte { tr.source = src; return tr.appendVariable(nil) }
	for _, c := range []struct {
		name string
		trap trap
		at   int
		want string
	}{
		{"firmware", trap{event: Event{Generator: 0x0003}}, 25, "00"},
		{"SMI handler", trap{event: Event{Generator: 0x0021}}, 25, "08"},
		{"software", trap{event: Event{Generator: 0x0041}}, 25, "10"},
		{"OEM software", trap{event: Event{Generator: 0x0061}}, 25, "20"},
		{"controller", trap{event: Event{Generator: 0x0020}}, 25, "20"},
		{"a clock before 1998", trap{event: Event{Time: 5}}, 18, "00 00 00 00"},
		{"no string", trap{}, 46, "c1"},
		{"a string of one", trap{text: "A"}, 46, "c2 41 20 c1"},
		{"a long string", trap{text: strings.Repeat("A", 70)}, 46, "fe" + strings.Repeat(" 41", 62) + " c1"},
		{"unknown entity", trap{event: Event{Generator: 0x84, Sensor: 0x30}}, 29, "00 00"},
	} {
		got := fmt.Sprintf("% x", variable(c.trap)[c.at:])
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	for want, e := range map[uint32]Event{
		0x236F00: {SensorType: 0x23, Trigger: 0x6F}, 0xC07F8F: {SensorType: 0xC0, Trigger: 0xFF, Data: [3]byte{0xFF}},
	} {
		if got := (&trap{event: e}).specific(); got != want {
			t.Errorf("%+v: %06x, want %06x", e, got, want)
		}
	}
}

// Lengths above a byte's low half, numbers that would look negative, and an
// address that SNMPv1 does not know.
func TestMessage(t *testing.T) {
	tr := trap{source: &Source{Entity: entityOfSensor}, text: strings.Repeat("x", 62), event: Event{SensorType: 0xF0, Trigger: 0xEF}}
	b := tr.appendMessage(nil, strings.Repeat("c", 200), netip.MustParseAddr("fd00::1"), 500*24*time.Hour)
	r := parseTrap(t, b)
	if len(r.community) != 200 || r.agent != "0.0.0.0" || r.specific != 0xF06F80 || r.ticks != 500*86400*100-(1<<32) {
		t.Errorf("%+v", r)
	}
	if !bytes.Contains(b, []byte{0x02, 0x04, 0x00, 0xF0, 0x6F, 0x80}) {
		t.Errorf("% x: the specific trap is negative", b)
	}
}

// Strings are chosen by the policy's entry, or by the filter that matched.
func TestStrings(t *testing.T) {
	inBench(t, func(t *testing.T, b *bench) {
		b.set("04 12 0D 02 01 4142", "04 12 0D 05 01 4344", "04 12 0C 05 09 07", "04 12 0C 02 08 07", filter9("01"), enable)
		for _, c := range []struct{ key, want string }{
			{"00", ""}, {"02", "AB"}, {"05", "CD"}, {"87", "CD"}, {"86", ""}, {"7F", ""},
		} {
			b.set("04 12 09 01 18 11" + c.key)
			b.happens(tooHot)
			sent := b.net.took()
			if len(sent) != 1 {
				t.Fatalf("%s: %d traps", c.key, len(sent))
			}
			text := parseTrap(t, sent[0].data).variable[46:]
			if want := string(append([]byte{customASCII | 2}, c.want+"\xC1"...)); c.want == "" && string(text) != "\xC1" || c.want != "" && string(text) != want {
				t.Errorf("%s: %q", c.key, text)
			}
		}
	})
}

// The system's GUID, or the one that was set.
func TestTrapGUID(t *testing.T) {
	inBench(t, func(t *testing.T, b *bench) {
		other := "FFEEDDCCBBAA99887766554433221100"
		b.set(filter9("01"), enable, "04 12 09 01 18 11 00")
		for set, want := range map[string]string{"00" + other: "000102030405060708090A0B0C0D0E0F", "01" + other: other} {
			b.set("04 12 0A" + set)
			b.happens(tooHot)
			sent := b.net.took()
			if len(sent) != 1 || fmt.Sprintf("%X", parseTrap(t, sent[0].data).variable[:16]) != want {
				t.Errorf("%s: %v", set, sent)
			}
		}
	})
}

// Which destinations are alerted, when, and how often.
func TestAlerts(t *testing.T) {
	const first, second, stranger, oem, nowhere = "11", "12", "13", "14", "15"
	for _, c := range []struct {
		name    string
		down    string
		entries []string // [7:4] set, [3] enabled, [2:0] rule; channel and destination
		at      []string // what was sent, and in which second
	}{
		{"one", "", []string{"18" + first}, []string{"0 10.0.0.1:162"}},
		{"none enabled", "", []string{"10" + first}, nil},
		{"another set", "", []string{"28" + first}, nil},
		{"not allowed", "", []string{"18" + stranger}, nil},
		{"no destination", "", []string{"18" + nowhere}, nil},
		{"not on that channel", "", []string{"18" + "21"}, nil},
		{"no trap's destination", "", []string{"18" + oem}, nil},
		{"acknowledged by nobody", "", []string{"18" + second}, []string{"0 10.0.0.2:16200", "3 10.0.0.2:16200", "6 10.0.0.2:16200"}},
		{"both", "", []string{"18" + first, "18" + second}, []string{"0 10.0.0.1:162", "0 10.0.0.2:16200", "3 10.0.0.2:16200", "6 10.0.0.2:16200"}},
		{"the second if the first fails", "", []string{"18" + first, "19" + second}, []string{"0 10.0.0.1:162"}},
		{"which it does", "10.0.0.1", []string{"18" + first, "19" + second}, []string{"0 10.0.0.2:16200", "3 10.0.0.2:16200", "6 10.0.0.2:16200"}},
		{"for want of an acknowledgement", "", []string{"18" + second, "19" + first}, []string{"0 10.0.0.2:16200", "3 10.0.0.2:16200", "6 10.0.0.2:16200", "9 10.0.0.1:162"}},
		{"or of a destination that is allowed", "", []string{"18" + stranger, "1A" + first}, []string{"0 10.0.0.1:162"}},
	} {
		inBench(t, func(t *testing.T, b *bench) {
			b.set(filter9("01"), enable)
			for i, e := range c.entries {
				b.set(fmt.Sprintf("04 12 09 %02x %s 00", i+1, e))
			}
			if c.down != "" {
				b.net.down[netip.MustParseAddr(c.down)] = true
			}
			b.happens(tooHot)
			var at []string
			for s := range 60 {
				for _, p := range b.net.took() {
					at = append(at, fmt.Sprint(s, " ", p.to))
				}
				time.Sleep(time.Second)
				synctest.Wait()
			}
			if !slices.Equal(at, c.at) {
				t.Errorf("%s: sent %q, want %q", c.name, at, c.at)
			}
		})
	}
}

// A destination that acknowledges nothing may get its alert several times.
func TestRepeats(t *testing.T) {
	inBench(t, func(t *testing.T, b *bench) {
		d := b.net.dests[1]
		d.Retries = 3
		b.net.dests[1] = d
		b.set(filter9("01"), enable, "04 12 09 01 18 11 00")
		b.happens(tooHot)
		time.Sleep(time.Minute)
		sent := b.net.took()
		if len(sent) != 4 {
			t.Fatalf("%d traps", len(sent))
		}
		for _, p := range sent {
			if string(parseTrap(t, p.data).variable) != string(parseTrap(t, sent[0].data).variable) {
				t.Error("a repeat differs")
			}
		}
	})
}

// acknowledge is PET Acknowledge for a trap, with its fields low byte first.
func acknowledgeOf(variable []byte) string {
	v := slices.Clone(variable)
	slices.Reverse(v[16:18])
	slices.Reverse(v[18:22])
	return fmt.Sprintf("04 17 %x %x %x %x %x", v[16:18], v[18:22], v[25:26], v[27:29], v[31:34])
}

func TestAcknowledge(t *testing.T) {
	inBench(t, func(t *testing.T, b *bench) {
		b.set(filter9("01"), enable, "04 12 09 01 18 12 00", "04 12 09 02 19 11 00")
		b.happens(tooHot)
		sent := b.net.took()
		if len(sent) != 1 {
			t.Fatalf("%d traps", len(sent))
		}
		ack := acknowledgeOf(parseTrap(t, sent[0].data).variable)
		b.exchange([]exchange{{"another's", ack[:len(ack)-2] + "00", "00"}, {"short", "04 17 01 00", "C7"}})
		time.Sleep(4 * time.Second)
		if again := b.net.to(); again != "10.0.0.2:16200" {
			t.Errorf("before its acknowledgement sent %q", again)
		}
		b.exchange([]exchange{{"this one", ack, "00"}, {"its repeat", ack, "00"}})
		time.Sleep(time.Minute)
		synctest.Wait()
		if again := b.net.to(); again != "" {
			t.Errorf("sent %s after it was acknowledged", again)
		}
		b.happens(tooHot)
		time.Sleep(time.Minute)
		synctest.Wait()
		if late := b.ask(ack); late != "00" {
			t.Errorf("late: %s", late)
		}
		if to := b.net.to(); to != "10.0.0.2:16200 10.0.0.2:16200 10.0.0.2:16200 10.0.0.1:162" {
			t.Errorf("sent %s", to)
		}
	})
}

// Sequence numbers go on over a restart.
func TestSequence(t *testing.T) {
	inBench(t, func(t *testing.T, b *bench) {
		b.set(filter9("01"), enable, "04 12 09 01 18 11 00")
		for want := 1; want < 4; want++ {
			b.happens(tooHot)
			sent := b.net.took()
			if len(sent) != 1 || number(parseTrap(t, sent[0].data).variable[16:18]) != uint64(want) {
				t.Fatalf("trap %d: %v", want, sent)
			}
			b.restart()
		}
		b.PEF.sequence = 0xFFFF
		if _, n, err := b.stamp(); n != 1 || err != nil {
			t.Errorf("after the last one %d, %v", n, err)
		}
	})
}

func TestAlertStartupDelay(t *testing.T) {
	inBench(t, func(t *testing.T, b *bench) {
		b.set(filter9("05"), "04 12 01 09", "04 12 04 14", "04 12 09 01 18 11 00")
		b.System(true)
		b.happens(tooHot)
		if did, to := b.system.took(), b.net.to(); did != "reset" || to != "" {
			t.Errorf("did %s, sent %s", did, to)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if to := b.net.to(); to != "10.0.0.1:162" {
			t.Errorf("after the delay sent %q", to)
		}
	})
}

// More alerts than can be under way are refused, and the others end.
func TestTooManyAlerts(t *testing.T) {
	inBench(t, func(t *testing.T, b *bench) {
		b.set(filter9("01"), enable, "04 12 09 01 18 12 00")
		for range alertLimit + 3 {
			b.happens(tooHot)
		}
		if n := len(b.net.took()); n != alertLimit {
			t.Errorf("%d traps", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		b.net.took()
		b.happens(tooHot)
		if n := len(b.net.took()); n != 1 {
			t.Errorf("%d traps afterwards", n)
		}
	})
}

func TestAlertImmediate(t *testing.T) {
	inBench(t, func(t *testing.T, b *bench) {
		b.set("04 12 0D 00 01 4142")
		b.exchange([]exchange{
			{"no status", "04 16 01 41 00", "00 00"},
			{"no destination", "04 16 01 05 00", "CC"},
			{"no channel", "04 16 02 01 00", "CC"},
			{"no trap's destination", "04 16 01 04 00", "CC"},
			{"not allowed", "04 16 01 03 00", "D3"},
			{"reserved operation", "04 16 01 C1 00", "CC"},
			{"reserved bits", "04 16 11 01 00", "CC"},
			{"reserved bits too", "04 16 01 11 00", "CC"},
			{"no such string", "04 16 01 01 89", "C9"},
			{"part of an event", "04 16 01 01 00 20", "C7"},
			{"sent", "04 16 01 01 80 20 04 02 31 01 59 01 02", "00"},
		})
		synctest.Wait()
		sent := b.net.took()
		if len(sent) != 1 {
			t.Fatalf("%d traps", len(sent))
		}
		r := parseTrap(t, sent[0].data)
		if got := fmt.Sprintf("%06x % x", r.specific, r.variable[26:]); got != "020109 00 20 31 00 00 59 01 02 00 00 00 00 00 ff 00 00 31 5a 43 21 c2 41 42 c1" {
			t.Error(got)
		}
		b.exchange([]exchange{{"done", "04 16 01 41 00", "00 01"}, {"acknowledged by nobody", "04 16 01 02 00", "00"}})
		synctest.Wait()
		b.exchange([]exchange{
			{"under way", "04 16 01 42 00", "00 FF"},
			{"another", "04 16 01 01 00", "81"},
			{"not cleared", "04 16 01 82 00", "81"},
		})
		if r := parseTrap(t, b.net.took()[0].data); r.specific != 0x246F02 {
			t.Errorf("without an event: %06x", r.specific)
		}
		time.Sleep(time.Minute)
		b.exchange([]exchange{
			{"not acknowledged", "04 16 01 42 00", "00 03"},
			{"clear", "04 16 01 82 00", "00"},
			{"is clear", "04 16 01 42 00", "00 00"},
		})
		b.net.took()
		b.net.down[netip.MustParseAddr("10.0.0.1")] = true
		b.set("04 16 01 01 00")
		synctest.Wait()
		b.exchange([]exchange{{"not sent", "04 16 01 41 00", "00 02"}})
	})
}
