package redact_test

import (
	"bytes"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/redact"
)

const secret = "s3cret!"

func frame(t testing.TB, n ipmb.NetFn, cmd ipmb.Cmd, data []byte) []byte {
	t.Helper()
	b, err := ipmb.Frame{To: 0x84, NetFn: n, From: 0x20, Seq: 3, Cmd: cmd, Data: data}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestRedact(t *testing.T) {
	app, rs := ipmb.NetFnApp, ipmb.NetFnApp.Response()
	pw := []byte(secret)
	setPassword := frame(t, app, 0x47, join([]byte{2, 2}, pw))
	keys := frame(t, app, 0x56, join([]byte{1, 1, 0}, pw))
	keysRead := frame(t, rs, 0x56, join([]byte{0, 1}, pw))
	setCommunity := frame(t, ipmb.NetFnTransport, 0x01, join([]byte{1, 16}, pw, make([]byte, 11)))
	communityRead := frame(t, ipmb.NetFnTransport.Response(), 0x02, join([]byte{0, 0x11}, pw, make([]byte, 11)))
	bridged := frame(t, app, 0x34, join([]byte{0x40}, setPassword))
	for name, raw := range map[string][]byte{
		"password": setPassword, "keys": keys, "keys that are read": keysRead, "in Send Message": bridged,
		"in two":            frame(t, app, 0x34, join([]byte{0x40}, bridged)),
		"broadcast":         frame(t, app, 0x34, join([]byte{0x40, 0}, setPassword)),
		"community":         setCommunity,
		"community, read":   communityRead,
		"bridged":           frame(t, app, 0x34, join([]byte{0x40}, setCommunity)),
		"read in an answer": frame(t, rs, 0x34, join([]byte{0}, communityRead)),
		"in an answer":      frame(t, rs, 0x34, join([]byte{0}, keysRead)),
	} {
		before := bytes.Clone(raw)
		got := redact.Frame(raw)
		if bytes.Contains(got, pw) || !bytes.Contains(got, []byte("*******")) || len(got) != len(raw) {
			t.Errorf("%s: % x became % x", name, raw, got)
		}
		if !redact.Secret(raw) {
			t.Errorf("%s: no secret", name)
		}
		if !bytes.Equal(raw, before) {
			t.Errorf("%s: the message itself was changed", name)
		}
		f, err := ipmb.ParseFrame(got)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		whole, err := ipmb.ParseFrame(raw)
		if err != nil {
			t.Fatal(err)
		}
		if text := redact.Text(whole); text != f.String() || !bytes.Equal(raw, before) {
			t.Errorf("%s: text %s, want %s", name, text, f)
		}
		if path, err := ipmb.Innermost(f); err != nil {
			t.Errorf("%s: inside %v: %v", name, path, err)
		}
	}
	for name, msg := range map[string][]byte{
		"password":        join([]byte{0x18, 0x47, 2, 2}, pw),
		"community":       join([]byte{0x30, 0x01, 1, 16}, pw),
		"Send Message":    join([]byte{0x18, 0x34, 0}, setPassword),
		"Get Message":     join([]byte{0x1C, 0x33, 0, 0}, keysRead[1:]),
		"frame cut short": join([]byte{0x18, 0x34, 0}, setPassword[:len(setPassword)-1]),
	} {
		if got := redact.System(msg); bytes.Contains(got, pw[:len(pw)-1]) || len(got) != len(msg) {
			t.Errorf("%s: % x became % x", name, msg, got)
		}
	}
}

func TestRedactLeavesTheRest(t *testing.T) {
	for _, msg := range [][]byte{
		nil,
		{0x18},
		{0x18, 0x01},
		{0x18, 0x47, 2, 1},
		{0x1C, 0x47, 0},
		{0x18, 0x34},
		{0x18, 0x34, 0},
		{0x18, 0x34, 0, 0},
		{0x28, 0x47, 0, 0, 'C', 'L', 'R', 0xAA},
		{0x1C, 0x33, 0x80},
		{0x30, 0x01, 1, 12, 192, 0, 2, 1}, // another parameter
		{0x30, 0x01, 1},
		{0x30, 0x02, 1, 16, 0, 0},
		{0x34, 0x01, 0},
		{0x34, 0x02, 0, 0x11, 192, 0, 2, 1},
		{0x18, 0x34, 0, 0x84, 0x18, 0x64, 0x20, 2, 1, 0xDD},
	} {
		if got := redact.System(msg); !bytes.Equal(got, msg) {
			t.Errorf("% x became % x", msg, got)
		}
	}
	broken := []byte{0x84, 0x18, 0x64, 0x20, 0x02, 0x01, 0xDE}
	if got := redact.Frame(broken); !bytes.Equal(got, broken) {
		t.Errorf("a frame without secret became % x", got)
	}
	if redact.Secret(broken) {
		t.Error("found a secret in it")
	}
}

// Nothing panics, lengths stay, and a second time changes nothing.
func FuzzRedact(f *testing.F) {
	f.Add(frame(f, ipmb.NetFnApp, 0x34, join([]byte{0x40}, frame(f, ipmb.NetFnApp, 0x47, []byte("\x02\x02secret")))))
	f.Add([]byte{0x18, 0x47, 2, 2, 's'})
	f.Add([]byte("\x30\x01\x01\x10public"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, mask := range []func([]byte) []byte{redact.Frame, redact.System} {
			once := mask(raw)
			if len(once) != len(raw) || !bytes.Equal(mask(once), once) {
				t.Fatalf("% x became % x, then % x", raw, once, mask(once))
			}
		}
	})
}
