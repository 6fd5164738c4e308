package vm

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/midplane-project/midplane/ipmb"
)

// messages are frames as they stand on the wire.
var messages = []struct {
	name string
	wire string
	msg  Message
}{
	{"Get Device ID", "\x00\x18\x01\xe7\xa0", Message{Seq: 0, NetFn: 0x06, Cmd: 0x01}},
	{"checksum escaped", "\x00\x18\x3e\xaa\xba\xa0", Message{NetFn: 0x06, Cmd: 0x3e}},
	{"seq AA", "\xaa\xba\x18\x01\x3d\xa0", Message{Seq: 0xaa, NetFn: 0x06, Cmd: 0x01}},
	{
		"all three escaped", "\x01\x18\x34\xaa\xb0\xaa\xb1\xaa\xba\xc8\xa0",
		Message{Seq: 1, NetFn: 0x06, Cmd: 0x34, Data: []byte{0xa0, 0xa1, 0xaa}},
	},
	{
		"Send Message from Linux", "\x05\x18\x34\x00\x84\x18\x64\x20\x02\x01\xdd\xaf\xa0",
		Message{Seq: 5, NetFn: 0x06, Cmd: 0x34, Data: []byte{0x00, 0x84, 0x18, 0x64, 0x20, 0x02, 0x01, 0xdd}},
	},
	{"answer with LUN", "\x07\x1e\x35\x80\x26\xa0", Message{Seq: 7, NetFn: 0x07, LUN: 2, Cmd: 0x35, Data: []byte{0x80}}},
}

func TestMessagesOnTheWire(t *testing.T) {
	for _, tt := range messages {
		t.Run(tt.name, func(t *testing.T) {
			if got := AppendMessage(nil, tt.msg); string(got) != tt.wire {
				t.Errorf("sent % x, want % x", got, tt.wire)
			}
			var d Decoder
			f, rest := d.Next([]byte(tt.wire + "next"))
			if f.Kind != FrameMessage || string(rest) != "next" {
				t.Fatalf("frame %+v, rest %q", f, rest)
			}
			got, err := ParseMessage(f.Body)
			if err != nil {
				t.Fatal(err)
			}
			if got.Data = bytes.Clone(got.Data); len(got.Data) == 0 {
				got.Data = nil
			}
			if diff := cmp.Diff(tt.msg, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestResponseRepeatsTheRequest(t *testing.T) {
	got := appendResponse(nil, Message{Seq: 7, NetFn: 0x06, LUN: 2, Cmd: 0x35}, ipmb.Response{Code: ipmb.ErrEmpty})
	if want := "\x07\x1e\x35\x80\x26\xa0"; string(got) != want {
		t.Errorf("% x, want % x", got, want)
	}
}

func TestCommandsOnTheWire(t *testing.T) {
	got := AppendCommand(nil, CommandVersion, ProtocolVersion)
	got = AppendCommand(got, CommandCapabilities, byte(CapAll))
	if want := "\xff\x01\xa1\x08\x3f\xa1"; string(got) != want {
		t.Errorf("greeting % x, want % x", got, want)
	}
	if got := AppendCommand(nil, CommandAttentionIRQ); string(got) != "\x02\xa1" {
		t.Errorf("attention % x", got)
	}
}

// frames decodes a whole stream.
func frames(d *Decoder, in []byte) (out []Frame) {
	for len(in) > 0 {
		var f Frame
		if f, in = d.Next(in); f.Kind != FrameNone {
			f.Body = bytes.Clone(f.Body)
			out = append(out, f)
		}
	}
	return out
}

func TestDecoderOddities(t *testing.T) {
	long := bytes.Repeat([]byte{1}, maxBody+1)
	tests := []struct {
		name string
		in   string
		want []Frame
	}{
		{"nothing", "", nil},
		{"lone message end", "\xa0", []Frame{{Kind: FrameMessage, Body: []byte{}}}},
		{"lone command end", "\xa1\xa1", nil},
		{"longest", string(long[1:]) + "\xa0", []Frame{{Kind: FrameMessage, Body: long[1:]}}},
		{"too long", string(long) + "\xa0\x02\xa1", []Frame{{Kind: FrameBad, Err: ErrLong}, {Kind: FrameCommand, Body: []byte{2}}}},
		{"long command counts by its first byte", string(long) + "\xa1", []Frame{{Kind: FrameCommand, Body: long[1:]}}},
		{
			"an escape outlives the message that it ended", "\x01\xaa\xa0\x12\xa1",
			[]Frame{{Kind: FrameBad, Err: ErrEscape}, {Kind: FrameCommand, Body: []byte{0x02}}},
		},
		{"but not a command", "\x01\xaa\xa1\x12\xa1", []Frame{{Kind: FrameCommand, Body: []byte{1}}, {Kind: FrameCommand, Body: []byte{0x12}}}},
		{"any byte can be escaped", "\xaa\x13\xa1", []Frame{{Kind: FrameCommand, Body: []byte{3}}}},
		{"an escaped end is an end", "\x01\xaa\xaa\xba\xa1", []Frame{{Kind: FrameCommand, Body: []byte{1, 0xaa}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := frames(new(Decoder), []byte(tt.in))
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) }),
				cmp.Comparer(bytes.Equal)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseMessageRefuses(t *testing.T) {
	for want, body := range map[error][]byte{
		ErrShort:    {0, 0x18, 0xe8},
		ErrChecksum: {0, 0x18, 0x01, 0xe8},
		ErrLong:     make([]byte, maxBody+1),
	} {
		if _, err := ParseMessage(body); !errors.Is(err, want) {
			t.Errorf("% x: %v, want %v", body[:3], err, want)
		}
	}
}

// FuzzDecoder cuts any stream at any place: the pieces must give the frames of
// the whole, also when a fresh decoder goes on in the middle.
func FuzzDecoder(f *testing.F) {
	for _, m := range messages {
		f.Add([]byte(m.wire), 3)
	}
	f.Add([]byte("\xff\x01\xa1\x08\x3f\xa1"), 1)
	f.Add([]byte("\x01\xaa\xa0\x12\xa1"), 3)
	f.Add(append(bytes.Repeat([]byte{7}, 400), 0xa0), 350)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		whole := frames(new(Decoder), in)
		cut = max(0, min(cut, len(in)))
		var first, second Decoder
		pieces := frames(&first, in[:cut])
		if rest := frames(&second, first.AppendPending(nil)); len(rest) != 0 {
			t.Fatalf("pending bytes hold frames: %+v", rest)
		}
		pieces = append(pieces, frames(&second, in[cut:])...)
		if diff := cmp.Diff(whole, pieces, cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) })); diff != "" {
			t.Fatal(diff)
		}
		for _, fr := range whole {
			if len(fr.Body) > maxBody {
				t.Fatalf("a frame of %d bytes", len(fr.Body))
			}
			if m, err := ParseMessage(fr.Body); fr.Kind == FrameMessage && err == nil {
				roundTrip(t, m)
			}
		}
	})
}

func roundTrip(t *testing.T, m Message) {
	t.Helper()
	f, rest := new(Decoder).Next(AppendMessage(nil, m))
	got, err := ParseMessage(f.Body)
	if err != nil || len(rest) != 0 {
		t.Fatalf("%+v: %v, rest % x", m, err, rest)
	}
	if diff := cmp.Diff(m, got); diff != "" {
		t.Fatal(diff)
	}
}
