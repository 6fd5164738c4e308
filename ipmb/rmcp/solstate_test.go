package rmcp

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Golden packets of ipmitool's, of IPMI 2.0 §15.9's layout, and those that are
// none.
func TestSOLPacket(t *testing.T) {
	for wire, want := range map[string]solPacket{
		"01 00 00 00 6c 73 0d": {Seq: 1, Data: []byte("ls\r")},
		"00 03 ff 00":          {Ack: 3, Count: 255, Data: []byte{}},
		"0f 00 00 10":          {Seq: 15, Op: solBreak, Data: []byte{}},
		"02 0e 01 68 0d":       {Seq: 2, Ack: 14, Count: 1, Op: solNACK | solUnavailable | solOverrun, Data: []byte("\r")},
	} {
		raw := unhex(t, wire)
		got, err := parseSOL(raw)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %+v, %v", wire, got, err)
		}
		if back := want.append(nil); !bytes.Equal(back, raw) {
			t.Errorf("%+v: % x", want, back)
		}
	}
	// OpenIPMI's acknowledgement while it waits for one itself.
	for _, wire := range []string{"00 04 64 00 61", "10 04 64 00 61"} {
		if p, err := parseSOL(unhex(t, wire)); err != nil || p.Seq != 0 || p.Ack != 4 || p.Count != 100 || len(p.Data) > 0 {
			t.Errorf("%s: %+v, %v", wire, p, err)
		}
	}
	for _, bad := range []string{"", "01", "01 00 00"} {
		if p, err := parseSOL(unhex(t, bad)); err == nil {
			t.Errorf("%s: %+v", bad, p)
		}
	}
}

// solStep is something that happens to a payload after a while, and what it
// does then, as text.
type solStep struct {
	after  time.Duration
	event  string
	effect string
}

var solTestTiming = solTiming{accumulate: 60 * time.Millisecond, threshold: 10, retries: 2, interval: 500 * time.Millisecond}

// parse makes an event of a text: "out abc", "lost", "broke", "room 5", "on",
// "off", "end", "tick", or a packet, "seq/ack+count OPS abc".
func parseSOLEvent(t *testing.T, s string) solEvent {
	word, rest, _ := strings.Cut(s, " ")
	yes, no := true, false
	switch word {
	case "out":
		return solEvent{output: []byte(rest)}
	case "lost":
		return solEvent{lost: true}
	case "broke":
		return solEvent{broke: true}
	case "room":
		var n int
		if _, err := fmt.Sscan(rest, &n); err != nil {
			t.Fatal(s, err)
		}
		return solEvent{room: n}
	case "on":
		return solEvent{power: &yes}
	case "off":
		return solEvent{power: &no}
	case "end":
		return solEvent{end: true}
	case "tick":
		return solEvent{}
	}
	var p solPacket
	if _, err := fmt.Sscanf(word, "%d/%d+%d", &p.Seq, &p.Ack, &p.Count); err != nil {
		t.Fatal(s, err)
	}
	ops, data, _ := strings.Cut(rest, " ")
	for _, c := range ops {
		p.Op |= solOps[byte(c)]
	}
	p.Data = []byte(data)
	return solEvent{packet: &p}
}

// solOps are one letter for each operation of the console's.
var solOps = map[byte]solOp{'N': solNACK, 'R': solRing, 'B': solBreak, 'C': solPauseCTS, 'D': solDropDCD, 'I': solFlushIn, 'O': solFlushOut, '-': 0}

func solEffectText(f solEffect) string {
	switch {
	case f.send != nil:
		status := ""
		for _, b := range []struct {
			bit  solOp
			name string
		}{{solNACK, "N"}, {solUnavailable, "U"}, {solDeactivated, "X"}, {solOverrun, "V"}, {solBroke, "K"}} {
			if f.send.Op&b.bit != 0 {
				status += b.name
			}
		}
		return strings.TrimSpace(fmt.Sprintf("%d/%d+%d %s %s", f.send.Seq, f.send.Ack, f.send.Count, status, f.send.Data))
	case f.input != nil:
		return "in " + string(f.input)
	case f.cts != nil:
		return fmt.Sprint("cts ", *f.cts)
	case f.dcd != nil:
		return fmt.Sprint("dcd ", *f.dcd)
	}
	return fmt.Sprintf("lines %02x", byte(f.lines))
}

func TestSOLState(t *testing.T) {
	const ms = time.Millisecond
	for name, steps := range map[string][]solStep{
		"characters are collected": {
			{0, "out ab", ""},
			{30 * ms, "out c", ""},
			{30 * ms, "tick", "1/0+0  abc"},
			{0, "0/1+3", ""},
			{0, "out 0123456789x", "2/0+0  0123456789x"},
		},
		"one packet is under way": {
			{0, "out 0123456789", "1/0+0  0123456789"},
			{0, "out abcdefghij", ""},
			{time.Millisecond, "0/1+10", "2/0+0  abcdefghij"},
			{0, "0/1+10", ""}, // an acknowledgement of before
			{0, "0/2+10", ""},
		},
		"a packet is repeated, and given up": {
			{0, "out 0123456789", "1/0+0  0123456789"},
			{499 * ms, "tick", ""},
			{ms, "tick", "1/0+0  0123456789"},
			{500 * ms, "tick", "1/0+0  0123456789"},
			{499 * ms, "out abcdefghij", ""},
			{ms, "tick", "2/0+0 V abcdefghij"}, // the first ones are lost
			{ms, "0/2+10", ""},
			{0, "out klmnopqrst", "3/0+0  klmnopqrst"},
		},
		"partial acceptance": {
			{0, "out 0123456789", "1/0+0  0123456789"},
			{ms, "0/1+4", "2/0+0  456789"},
			{ms, "0/2+0", ""}, // full, though it does not say so
			{499 * ms, "tick", ""},
			{ms, "tick", "3/0+0  456789"},
		},
		"a console that is full": {
			{0, "lost", ""},
			{0, "out 0123456789", "1/0+0 V 0123456789"},
			{ms, "0/1+3 N", ""},
			{ms, "out ab", ""},
			{100 * ms, "0/0+0", "2/0+0 V 3456789ab"}, // and is not any more
		},
		"numbers go round without 0": func() (s []solStep) {
			for i := range 17 {
				n := i%15 + 1
				s = append(s, solStep{0, "out 0123456789", fmt.Sprintf("%d/0+0  0123456789", n)}, solStep{0, fmt.Sprintf("0/%d+10", n), ""})
			}
			return s
		}(),
		"input": {
			{0, "1/0+0 - ls", "in ls; 0/1+2"},
			{0, "1/0+0 - ls", "0/1+2"}, // again
			{0, "2/0+0 - x", "in x; 0/2+1"},
			{0, "3/0+0", "0/3+0"},
		},
		"an acknowledgement travels with characters": {
			{0, "out ab", ""},
			{60 * ms, "4/0+0 - l", "in l; 1/4+1  ab"},
			{0, "5/1+2 - s", "in s; 0/5+1"},
		},
		"partial acceptance of input": {
			{0, "1/0+0 - " + strings.Repeat("x", 255), "in " + strings.Repeat("x", 255) + "; 0/1+255"},
			{0, "room=5", ""},
			{0, "2/0+0 - abcdefg", "in abcde; 0/2+5"},
			{0, "3/0+0 - fg", ""},
			{100 * ms, "3/0+0 - fg", ""}, // it waits already
			{100 * ms, "room 1", "in f; 0/3+1"},
			{0, "4/0+0 - g", ""},
			{499 * ms, "tick", ""},
			{ms, "tick", "0/4+0 N"},
			{ms, "room 9", "0/0+0"},
			{ms, "4/0+0 - g", "in g; 0/4+1"},
		},
		"no power": {
			{0, "off", "0/0+0 U"},
			{0, "off", ""},
			{0, "1/0+0 - ls", "0/1+0 NU"},
			{0, "2/0+0", "0/2+0 U"},
			{0, "on", "0/0+0"},
			{0, "3/0+0 - ls", "in ls; 0/3+2"},
		},
		"power goes while input waits": {
			{0, "room=0", ""},
			{0, "1/0+0 - ls", ""},
			{0, "off", "0/1+0 NU"},
		},
		"lines": {
			{0, "1/0+0 B", "lines 10; 0/1+0"},
			{0, "1/0+0 B", "0/1+0"},
			{0, "0/0+0 B", "lines 10"},
			{0, "2/0+0 R", "lines 20; 0/2+0"},
			{0, "3/0+0 C", "cts false; 0/3+0"},
			{0, "4/0+0 C", "0/4+0"},
			{0, "0/0+0 D", "cts true; dcd false"},
			{0, "0/0+0", "dcd true"},
			{0, "5/0+0 I x", "lines 02; in x; 0/5+1"},
			{0, "broke", "1/0+0 K"},
			{0, "0/1+0", ""},
		},
		"flush": {
			{0, "out 0123456789", "1/0+0  0123456789"},
			{0, "out abc", ""},
			{0, "0/0+0 O", "lines 01"},
			{0, "0/1+10", ""},
			{time.Second, "tick", ""},
		},
		"the end": {
			{0, "out ab", ""},
			{0, "end", "0/0+0 X"},
			{time.Second, "1/0+0 - x", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(0, 0)
			s := newSOL(solTestTiming, true)
			for i, step := range steps {
				now = now.Add(step.after)
				if n, err := fmt.Sscanf(step.event, "room=%d", &s.room); n == 1 && err == nil {
					continue
				}
				var effects []solEffect
				s, effects = s.next(now, parseSOLEvent(t, step.event))
				var got []string
				for _, f := range effects {
					got = append(got, solEffectText(f))
				}
				if have := strings.Join(got, "; "); have != step.effect {
					t.Errorf("step %d, %s: %q, want %q", i, step.event, have, step.effect)
				}
			}
		})
	}
}

// What is due is done at the deadline and not before: no step is needed that
// the deadline does not announce.
func TestSOLDeadline(t *testing.T) {
	now := time.Unix(0, 0)
	s := newSOL(solTestTiming, true)
	at := func(want time.Duration) {
		t.Helper()
		if got := s.deadline(); got.IsZero() != (want == 0) || want != 0 && got.Sub(now) != want {
			t.Errorf("deadline in %v, want %v", got.Sub(now), want)
		}
	}
	do := func(e solEvent) { s, _ = s.next(now, e) }
	at(0)
	do(solEvent{output: []byte("a")})
	at(60 * time.Millisecond)
	now = now.Add(60 * time.Millisecond)
	do(solEvent{})
	at(500 * time.Millisecond)
	do(solEvent{packet: &solPacket{Ack: 1, Op: solNACK}})
	at(500 * time.Millisecond)
	do(solEvent{packet: &solPacket{}})
	do(solEvent{packet: &solPacket{Ack: 2, Count: 1}})
	at(0)
	s.room = 0
	do(solEvent{packet: &solPacket{Seq: 1, Data: []byte("x")}})
	at(solHold)

	s = newSOL(solTiming{interval: 500 * time.Millisecond}, true) // each character is sent at once
	do(solEvent{packet: &solPacket{Op: solNACK}})
	at(0) // though it is full there is nothing to send to it
	do(solEvent{output: []byte("a")})
	at(500 * time.Millisecond)
}

// FuzzSOL plays a console that sends anything: nothing is given twice to the
// system, nothing more than was sent, and no packet is too long.
func FuzzSOL(f *testing.F) {
	f.Add([]byte{5, 1, 0, 0, 0, 'l', 0xFF, 4, 0, 1, 1, 0, 0xFE})
	f.Add([]byte{4, 0, 1, 0, 0x40, 0xFF, 0xFF, 6, 2, 1, 9, 0x1F, 'a', 'b'})
	var said []byte // ipmitool's
	for _, p := range []string{"01 00 00 00 6c 73 0d", "00 03 ff 00", "0f 00 00 10"} {
		raw := unhex(f, p)
		said = append(append(append(said, byte(len(raw))), raw...), 0xFF)
	}
	f.Add(said)
	f.Fuzz(func(t *testing.T, b []byte) {
		now := time.Unix(0, 0)
		s := newSOL(solTestTiming, true)
		for len(b) > 0 {
			n := int(b[0])
			b = b[1:]
			e := solEvent{output: []byte("0123456789abc")}
			switch {
			case n == 0xFF:
			case n == 0xFE:
				now, e = now.Add(250*time.Millisecond), solEvent{}
			case n == 0xFD:
				e = solEvent{room: 3}
			default:
				raw := b[:min(n, len(b))]
				b = b[len(raw):]
				p, err := parseSOL(raw)
				if err != nil {
					continue
				}
				if again, err := parseSOL(p.append(nil)); err != nil || fmt.Sprint(again) != fmt.Sprint(p) {
					t.Fatalf("%+v is read as %+v, %v", p, again, err)
				}
				e = solEvent{packet: &p}
			}
			if e.output != nil && !s.wants() {
				continue
			}
			var effects []solEffect
			s, effects = s.next(now, e)
			for _, f := range effects {
				if f.send != nil && (len(f.send.Data) > solMaxData || f.send.Seq > solMaxSeq || f.send.Seq == 0 && len(f.send.Data) > 0) {
					t.Fatalf("sends %+v", f.send)
				}
				if f.input != nil && (e.packet == nil || !bytes.HasPrefix(e.packet.Data, f.input)) && e.room == 0 {
					t.Fatalf("input %q of %+v", f.input, e.packet)
				}
			}
			if s.room < 0 || len(s.queue) > solQueue+solMaxData+20 {
				t.Fatalf("%d characters fit in, %d wait", s.room, len(s.queue))
			}
		}
	})
}

// What one console accepts of a long output, in pieces and with packets and
// acknowledgements lost, is the output.
func TestSOLLosesNothing(t *testing.T) {
	now := time.Unix(0, 0)
	s := newSOL(solTiming{threshold: 96, retries: 7, interval: 100 * time.Millisecond}, true)
	var want, got []byte
	for i := range 2000 {
		want = fmt.Appendf(want, "%d\r\n", i)
	}
	rest, last, count, turn := want, uint8(0), 0, 0
	for len(got) < len(want) && turn < 10000 {
		var e solEvent
		if n := min(len(rest), 100); n > 0 && s.wants() {
			e.output, rest = rest[:n], rest[n:]
		}
		var effects []solEffect
		s, effects = s.next(now, e)
		for _, f := range effects {
			p := *f.send
			turn++
			if p.Seq == 0 || turn%7 == 0 { // the packet is lost
				continue
			}
			if p.Seq != last {
				last, count = p.Seq, len(p.Data)*(turn%3+1)/3
				got = append(got, p.Data[:count]...)
			}
			if turn%5 == 0 { // the acknowledgement is lost
				continue
			}
			s, _ = s.next(now, solEvent{packet: &solPacket{Ack: p.Seq, Count: uint8(count)}})
		}
		now = now.Add(50 * time.Millisecond)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d characters of %d", len(got), len(want))
	}
}
