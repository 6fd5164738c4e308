package serial

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
)

// captured is what ipmitool 1.8.19 sends, in terminal and in basic mode: its
// first question, Get Device ID, the same for 84h and for 84h behind 82h, and a
// raw request with all characters that are escaped.
var captured = []struct {
	terminal, basic string
	want            ipmb.Frame
}{
	{"[b0040000]\r\n", "a020b030810400007ba5", request(0x2C, 1, 0x00, 0x00)},
	{"[180c01]\r\n", "a02018c8810c0172a5", request(6, 3, 0x01)},
	{
		"[180c3440841864200c01d3]\r\n", "a02018c8810c3440841864200c01d3ffa5",
		request(6, 3, 0x34, 0x40, 0x84, 0x18, 0x64, 0x20, 0x0C, 0x01, 0xD3),
	},
	{
		"[180c3440821866200c3440841864200c01d360]\r\n", "a02018c8810c3440821866200c3440841864200c01d360ffa5",
		request(6, 3, 0x34, 0x40, 0x82, 0x18, 0x66, 0x20, 0x0C, 0x34, 0x40, 0x84, 0x18, 0x64, 0x20, 0x0C, 0x01, 0xD3, 0x60),
	},
	{
		"[180c52a0a5a6aa1b]\r\n", "a02018c8810c52aab0aab5aab6aabaaa3b71a5",
		request(6, 3, 0x52, 0xA0, 0xA5, 0xA6, 0xAA, 0x1B),
	},
}

// addrConsole is a remote console that speaks basic mode.
const addrConsole = ipmb.Addr(0x81)

// request is one from a line to the controller.
func request(n ipmb.NetFn, seq uint8, cmd ipmb.Cmd, data ...byte) ipmb.Frame {
	return ipmb.Frame{To: addrBMC, NetFn: n, From: addrConsole, Seq: seq, Cmd: cmd, Data: append([]byte{}, data...)}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// all reads every event of in, which comes in pieces of n bytes.
func all(c Codec, in []byte, n int) (out []Event) {
	for len(in) > 0 {
		piece := in[:min(n, len(in))]
		in = in[len(piece):]
		for ok := true; ok; {
			var e Event
			if e, piece, ok = c.Next(piece); ok {
				e.Frame.Data = bytes.Clone(e.Frame.Data)
				out = append(out, e)
			}
		}
	}
	return out
}

func codec(t testing.TB, m Mode) Codec {
	t.Helper()
	c, err := NewCodec(m)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCaptured(t *testing.T) {
	for i, tt := range captured {
		for mode, in := range map[Mode][]byte{Terminal: []byte(tt.terminal), Basic: unhex(t, tt.basic)} {
			for _, n := range []int{1, 3, 1000} {
				want := tt.want
				if mode == Terminal {
					want.From = addrTerminal
				}
				got := all(codec(t, mode), append([]byte("noise\r\n"), in...), n)
				if len(got) != 1 || !reflect.DeepEqual(got[0], Event{Frame: want}) {
					t.Errorf("%d in %s mode, %d at a time: %+v", i, mode, n, got)
				}
			}
		}
		if b, err := new(basic).AppendFrame(nil, tt.want, false); err != nil || hex.EncodeToString(b) != tt.basic {
			t.Errorf("%d: %x, %v", i, b, err)
		}
	}
}

// What is answered, byte for byte.
func TestAnswers(t *testing.T) {
	ask := request(6, 3, 0x01)
	ask.ToLUN = 1
	answer := ask.Reply(ipmb.Response{Data: []byte{0x20, 0xA5}})
	for mode, want := range map[Mode]string{
		Terminal: "[1D 0C 01 00 20 A5]\r\n",
		Basic:    "\xa0\x81\x1c\x63\x20\x0d\x01\x00\x20\xaa\xb5\x0d\xa5",
		Radisys:  "811C63200D010020A50D\r",
	} {
		c := codec(t, mode)
		if got, err := c.AppendFrame(nil, answer, false); err != nil || string(got) != want {
			t.Errorf("%s: %q, want %q, %v", mode, got, want, err)
		}
		answer := answer
		answer.Data = make([]byte, ipmb.MaxFramePayload+1)
		if got, err := c.AppendFrame(nil, answer, false); err == nil {
			t.Errorf("%s: %d bytes of data make %q", mode, len(answer.Data), got)
		}
	}
}

func TestBad(t *testing.T) {
	long := bytes.Repeat([]byte("00"), maxLine)
	for _, tt := range []struct {
		mode    Mode
		in      string
		want    error // nil: nothing comes
		receipt string
	}{
		{Basic, "\xa5", nil, ""},
		{Basic, "\xa0\xa5", ipmb.ErrFrameShort, "\xa6"},
		{Basic, "\xa0\x20\x18\xc8\x81\x0c\x01\x73\xa5", ipmb.ErrFrameChecksum, "\xa6"},
		{Basic, "\xa0\x20\xaa\x33\x01\xa5", ErrEscape, "\xa6"},
		{Basic, "\xa0\x20\x18\xc8\x81\x0c\x01\x72\xaa\xa5", ErrEscape, "\xa6"},
		{Basic, "\xa0" + string(long) + "\xa5", ErrLong, "\xa6"},
		{Basic, "\xa0" + strings.Repeat("\xaa\xb0", ipmb.MaxFrameLen+1) + "\xa5", ErrLong, "\xa6"},
		{Basic, "\x20\x18\xc8\x81\x0c\x01\x72\xa5", nil, ""},
		{Terminal, "[]" + "\r", ipmb.ErrFrameShort, "[ERR C7]\r\n"},
		{Terminal, "[18 00]" + "\r", ipmb.ErrFrameShort, "[ERR C7]\r\n"},
		{Terminal, "[1c 00 01]" + "\r", ipmb.ErrFrameShort, "[ERR C7]\r\n"}, // a response without a code
		{Terminal, "[18 00 0]" + "\r", ErrHex, "[ERR CC]\r\n"},
		{Terminal, "[18 0 001]" + "\r", ErrHex, "[ERR CC]\r\n"},
		{Terminal, "[hello]" + "\r", ErrHex, "[ERR CC]\r\n"},
		{Terminal, "[" + string(long) + "]" + "\r", ErrLong, "[ERR C7]\r\n"},
		{Terminal, "[" + string(long[:2*ipmb.MaxFrameLen]) + "]" + "\r", ErrLong, "[ERR C7]\r\n"},
		{Terminal, "18 00 01]" + "\r", nil, ""},
		{Radisys, "\r\r\r", nil, ""},
		{Radisys, "2018C8810C0173\r", ipmb.ErrFrameChecksum, ""},
		{Radisys, "2018C8810C01 7\r", ErrHex, ""},
		{Radisys, string(long) + "0\r", ErrLong, ""},
	} {
		c := codec(t, tt.mode)
		got := all(c, []byte(tt.in), 7)
		if tt.want == nil {
			if len(got) > 0 {
				t.Errorf("%s %.40q: %+v", tt.mode, tt.in, got)
			}
			continue
		}
		if len(got) != 1 || !errors.Is(got[0].Err, tt.want) {
			t.Errorf("%s %.40q: %+v, want %v", tt.mode, tt.in, got, tt.want)
			continue
		}
		if r := c.AppendReceipt(nil, got[0]); string(r) != tt.receipt {
			t.Errorf("%s %.40q: receipt %q, want %q", tt.mode, tt.in, r, tt.receipt)
		}
		// Whatever it was, the next one is heard.
		good, err := c.AppendFrame(nil, request(6, 1, 1).Reply(ipmb.Response{}), false)
		if again := all(c, good, 7); err != nil || len(again) != 1 || again[0].Err != nil {
			t.Errorf("%s after %.40q: %+v, %v", tt.mode, tt.in, again, err)
		}
	}
}

// A start begins anew in the middle of what a lost end left.
func TestBeginsAnew(t *testing.T) {
	for mode, in := range map[Mode]string{
		Basic:    "\xa0\x20\x18\xc8\x81\xaa\xa0\x20\x18\xc8\x81\x0c\x01\x72\xa5",
		Terminal: "[18 0[18 0C 01]\r",
	} {
		got := all(codec(t, mode), []byte(in), 4)
		want := request(6, 3, 1)
		if mode == Terminal {
			want.From = addrTerminal
		}
		if len(got) != 1 || !reflect.DeepEqual(got[0].Frame, want) {
			t.Errorf("%s: %+v", mode, got)
		}
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{"[SYS TMODE]\n": "SYS TMODE", "[ sys pwd -X ]\r": "sys pwd -X"} {
		if got := all(codec(t, Terminal), []byte(in), 4); len(got) != 1 || got[0].Text != want {
			t.Errorf("%s: %+v", in, got)
		}
	}
}

func TestNoMode(t *testing.T) {
	if _, err := NewCodec("smoke"); err == nil {
		t.Error("smoke is a mode")
	}
	if _, err := New(Config{Mode: "smoke"}); err == nil {
		t.Error("smoke has a door")
	}
}

// FuzzCodec has any bytes come in any pieces: the pieces do not matter, and
// every frame that comes out goes back in.
func FuzzCodec(f *testing.F) {
	for _, c := range captured {
		f.Add(uint8(0), uint8(3), []byte(c.terminal))
		f.Add(uint8(1), uint8(3), unhex(f, c.basic))
	}
	f.Add(uint8(0), uint8(1), []byte("[SYS PWD -U bob secret]\r"))
	f.Add(uint8(0), uint8(2), []byte("[SYS \x7fTM\\\r\nODX\bE]x[SY\x1b\r[SYS TMODE] \r"))
	f.Add(uint8(2), uint8(4), []byte("\xa0\x20\x18\xc8\x81\xaa\xb0\xaa\x3b\x0c\xa5"))
	f.Add(uint8(3), uint8(1), []byte("2018C8810C0172\r"))
	f.Fuzz(func(t *testing.T, mode, n uint8, in []byte) {
		m := Modes[int(mode)%len(Modes)]
		got := all(codec(t, m), in, int(n)+1)
		if whole := all(codec(t, m), in, len(in)+1); !reflect.DeepEqual(whole, got) {
			t.Fatalf("in pieces of %d: %+v, else %+v", n, got, whole)
		}
		for _, e := range got {
			if e.Err != nil || e.Text != "" {
				continue
			}
			out, err := codec(t, m).AppendFrame(nil, e.Frame, false)
			if err != nil {
				t.Fatal(err)
			}
			again := all(codec(t, m), out, len(out))
			if len(again) != 1 || !reflect.DeepEqual(again[0], e) {
				t.Fatalf("%+v became %q and %+v", e, out, again)
			}
		}
	})
}
