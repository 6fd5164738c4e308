package ipmb_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
)

func TestFrameGolden(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      ipmb.Frame
	}{
		{
			"Linux asks for a Device ID", "84 18 64 20 02 01 dd",
			ipmb.Frame{To: 0x84, NetFn: ipmb.NetFnApp, From: 0x20, FromLUN: ipmb.LUNSMS, Cmd: ipmb.CmdGetDeviceID, Data: []byte{}},
		},
		{
			"a request to guest software, as Get Message shows it", "82 c2 bc 84 24 01 11 22 24",
			ipmb.Frame{To: 0x82, NetFn: 0x30, ToLUN: ipmb.LUNSMS, From: 0x84, Seq: 9, Cmd: 0x01, Data: []byte{0x11, 0x22}},
		},
		{
			"guest software answers", "84 c4 b8 82 26 01 00 ca fe 8f",
			ipmb.Frame{To: 0x84, NetFn: 0x31, From: 0x82, Seq: 9, FromLUN: ipmb.LUNSMS, Cmd: 0x01, Data: []byte{0x00, 0xCA, 0xFE}},
		},
		{
			"Linux's kernel refuses for it", "84 c4 b8 82 26 01 c1 96",
			ipmb.Frame{To: 0x84, NetFn: 0x31, From: 0x82, Seq: 9, FromLUN: ipmb.LUNSMS, Cmd: 0x01, Data: []byte{0xC1}},
		},
		{
			"Platform Event to the shelf manager", "20 10 d0 82 04 02 04 f0 01 6f a4 03 00 6d",
			ipmb.Frame{To: 0x20, NetFn: ipmb.NetFnSensor, From: 0x82, Seq: 1, Cmd: 0x02, Data: []byte{4, 0xF0, 1, 0x6F, 0xA4, 3, 0}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := unhex(t, c.hex)
			f, err := ipmb.ParseFrame(raw)
			if err != nil || !reflect.DeepEqual(f, c.want) {
				t.Errorf("ParseFrame = %+v, %v", f, err)
			}
			if b, err := c.want.AppendBinary(nil); err != nil || !bytes.Equal(b, raw) {
				t.Errorf("AppendBinary = % x, %v", b, err)
			}
		})
	}
}

func TestParseFrameRefuses(t *testing.T) {
	good := unhex(t, "84 18 64 20 02 01 dd")
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if _, err := ipmb.ParseFrame(bad); !errors.Is(err, ipmb.ErrFrameChecksum) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := ipmb.ParseFrame(good[:i]); !errors.Is(err, ipmb.ErrFrameShort) {
			t.Errorf("%d bytes: %v", i, err)
		}
	}
	if _, err := ipmb.ParseFrame(unhex(t, "20 1c c4 84 00 01 7b")); !errors.Is(err, ipmb.ErrFrameShort) {
		t.Errorf("a response without completion code: %v", err)
	}
	if _, err := ipmb.ParseFrame(make([]byte, ipmb.MaxFrameLen+1)); !errors.Is(err, ipmb.ErrFrameLong) {
		t.Errorf("301 bytes: %v", err)
	}
	if _, err := (ipmb.Frame{Data: make([]byte, ipmb.MaxFramePayload+1)}).AppendBinary(nil); !errors.Is(err, ipmb.ErrFrameLong) {
		t.Errorf("294 data bytes: %v", err)
	}
}

// An answer that fits into no frame is one that says so.
func TestReplyTooLong(t *testing.T) {
	rq := ipmb.RequestFrame(0x82, 0x20, 0, 1, &ipmb.Request{NetFn: ipmb.NetFnApp, Cmd: 1})
	for n, want := range map[int]ipmb.CompletionCode{ipmb.MaxFramePayload - 1: ipmb.OK, ipmb.MaxFramePayload: ipmb.ErrCannotReturn} {
		raw, err := rq.Reply(ipmb.Response{Data: make([]byte, n)}).AppendBinary(nil)
		if err != nil || ipmb.CompletionCode(raw[6]) != want {
			t.Errorf("%d bytes: % x, %v", n, raw, err)
		}
	}
}

func TestReply(t *testing.T) {
	rq, err := ipmb.ParseFrame(unhex(t, "84 18 64 20 02 01 dd"))
	if err != nil {
		t.Fatal(err)
	}
	rs := rq.Reply(ipmb.Response{Data: []byte{0x20, 0x81}})
	b, err := rs.AppendBinary(nil)
	if want := unhex(t, "20 1e c2 84 00 01 00 20 81 da"); err != nil || !bytes.Equal(b, want) {
		t.Errorf("reply = % x, %v; want % x", b, err, want)
	}
	if r, ok := rs.Response(); !ok || r.Code != ipmb.OK || !bytes.Equal(r.Data, []byte{0x20, 0x81}) {
		t.Errorf("Response = %+v, %v", r, ok)
	}
	if _, ok := rq.Response(); ok {
		t.Error("a request was taken for a response")
	}
	if _, ok := (ipmb.Frame{NetFn: 7}).Response(); ok {
		t.Error("a response without code was taken")
	}
	refused := rq.Reply(ipmb.Response{Code: ipmb.ErrPrivilege})
	if r, _ := refused.Response(); r.Err() != error(ipmb.ErrPrivilege) {
		t.Errorf("refusal = %v", r.Err())
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add(unhex(f, "84 18 64 20 02 01 dd"))
	f.Add(unhex(f, "20 1e c2 84 00 01 00 20 81 da"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		frame, err := ipmb.ParseFrame(raw)
		if err != nil {
			return
		}
		b, err := frame.AppendBinary(nil)
		if err != nil || !bytes.Equal(b, raw) {
			t.Fatalf("% x became % x, %v", raw, b, err)
		}
		if _, ok := frame.Response(); ok != frame.IsResponse() {
			t.Fatalf("% x: Response() is %v", raw, ok)
		}
		_ = frame.String()
	})
}
