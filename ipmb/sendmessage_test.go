package ipmb_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
)

func TestSendMessageGolden(t *testing.T) {
	deviceID := unhex(t, "84 18 64 20 02 01 dd")
	for _, c := range []struct {
		name, hex string
		want      ipmb.SendMessage
	}{
		{"Linux", "00 84 18 64 20 02 01 dd", ipmb.SendMessage{Message: deviceID}},
		{"ipmitool over LAN, tracked", "40 84 18 64 20 02 01 dd", ipmb.SendMessage{Tracking: ipmb.TrackRequest, Message: deviceID}},
		{"broadcast", "00 00 84 18 64 20 02 01 dd", ipmb.SendMessage{Broadcast: true, Message: deviceID}},
		{"every bit", "77 84 18 64 20 02 01 dd", ipmb.SendMessage{
			Tracking: ipmb.TrackRequest, Encrypted: true, Authenticated: true, Channel: 7, Message: deviceID,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := unhex(t, c.hex)
			s, err := ipmb.ParseSendMessage(raw)
			if err != nil || !reflect.DeepEqual(s, c.want) {
				t.Errorf("ParseSendMessage = %+v, %v", s, err)
			}
			if b, err := c.want.AppendBinary(nil); err != nil || !bytes.Equal(b, raw) {
				t.Errorf("AppendBinary = % x, %v", b, err)
			}
		})
	}
	for hex, want := range map[string]ipmb.CompletionCode{
		"": ipmb.ErrLength, "40": ipmb.ErrLength, "40 84 18 64 20 02 01": ipmb.ErrLength,
		"80 84 18 64 20 02 01 dd": ipmb.ErrInvalidField, "c0 84 18 64 20 02 01 dd": ipmb.ErrInvalidField,
	} {
		if _, err := ipmb.ParseSendMessage(unhex(t, hex)); !errors.Is(err, want) {
			t.Errorf("%q: %v", hex, err)
		}
	}
}

// wrap puts f into n Send Messages, as ipmitool does when it bridges twice.
func wrap(t testing.TB, f ipmb.Frame, n int) ipmb.Frame {
	t.Helper()
	for range n {
		inner, err := f.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		data, err := ipmb.SendMessage{Tracking: ipmb.TrackRequest, Message: inner}.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		f = ipmb.Frame{To: 0x82, NetFn: ipmb.NetFnApp, From: 0x81, Seq: 5, Cmd: ipmb.CmdSendMessage, Data: data}
	}
	return f
}

func TestInnermost(t *testing.T) {
	clearSEL := ipmb.Frame{To: 0x20, NetFn: ipmb.NetFnStorage, From: 0x84, Cmd: 0x47, Data: []byte{0, 0, 'C', 'L', 'R', 0xAA}}
	for n := range ipmb.MaxNesting + 1 {
		path, err := ipmb.Innermost(wrap(t, clearSEL, n))
		if err != nil || len(path) != n+1 || !reflect.DeepEqual(path[n], clearSEL) {
			t.Errorf("%d wrappings: %v, %v", n, path, err)
		}
	}
	if _, err := ipmb.Innermost(wrap(t, clearSEL, ipmb.MaxNesting+1)); !errors.Is(err, ipmb.ErrInvalidField) {
		t.Errorf("too many wrappings: %v", err)
	}
	broken := wrap(t, clearSEL, 1)
	broken.Data[len(broken.Data)-1]++
	if _, err := ipmb.Innermost(broken); !errors.Is(err, ipmb.ErrInvalidField) {
		t.Errorf("bad inner checksum: %v", err)
	}
	sms := wrap(t, clearSEL, 1)
	sms.ToLUN = ipmb.LUNSMS
	if path, err := ipmb.Innermost(sms); err != nil || len(path) != 1 {
		t.Errorf("guest software gets Send Message as data: %v, %v", path, err)
	}
}

func TestGuestPolicy(t *testing.T) {
	request := func(n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) ipmb.Frame {
		return ipmb.Frame{To: 0x84, NetFn: n, From: 0x82, Cmd: cmd, Data: data}
	}
	toSoftware := request(0x30, 0x01)
	toSoftware.ToLUN = ipmb.LUNSMS
	answer := request(ipmb.NetFnStorage.Response(), 0x47, 0)
	for _, c := range []struct {
		name string
		f    ipmb.Frame
		want error
	}{
		{"Get Device ID", request(ipmb.NetFnApp, 0x01), nil},
		{"Platform Event", request(ipmb.NetFnSensor, 0x02, 4, 1, 0x30, 1, 9, 0xFF, 0xFF), nil},
		{"Add SEL Entry", request(ipmb.NetFnStorage, 0x44, make([]byte, 16)...), nil},
		{"PICMG properties", request(ipmb.NetFnGroup, 0x00, 0), nil},
		{"to guest software", toSoftware, nil},
		{"an answer", answer, nil},
		{"Cold Reset", request(ipmb.NetFnApp, 0x02), ipmb.ErrPrivilege},
		{"Chassis Control", request(ipmb.NetFnChassis, 0x02, 0), ipmb.ErrPrivilege},
		{"Clear SEL", request(ipmb.NetFnStorage, 0x47), ipmb.ErrPrivilege},
		{"Set SEL Time", request(ipmb.NetFnStorage, 0x49), ipmb.ErrPrivilege},
		{"Set Power Level", request(ipmb.NetFnGroup, 0x11, 0, 0, 0, 0), ipmb.ErrPrivilege},
		{"Set FRU Activation", request(ipmb.NetFnGroup, 0x0C, 0, 0, 0), ipmb.ErrPrivilege},
		{"a body not listed", request(ipmb.NetFnGroup, 0x01, 0xDC), ipmb.ErrPrivilege},
		{"group without body", request(ipmb.NetFnGroup, 0x11), ipmb.ErrPrivilege},
		{"OEM", request(ipmb.NetFnOEM, 0x01, 1, 2, 3), ipmb.ErrPrivilege},
		{"controller's own", request(0x30, 0x01), ipmb.ErrPrivilege},
	} {
		t.Run(c.name, func(t *testing.T) {
			for n := range ipmb.MaxNesting + 1 {
				if err := ipmb.DefaultGuestPolicy.Permit(wrap(t, c.f, n)); err != c.want {
					t.Errorf("in %d wrappings: %v", n, err)
				}
			}
		})
	}
	unreadable := request(ipmb.NetFnApp, ipmb.CmdSendMessage, 0x40, 1, 2, 3)
	if err := ipmb.DefaultGuestPolicy.Permit(unreadable); err == nil {
		t.Error("an unreadable Send Message was permitted")
	}
}

func FuzzParseSendMessage(f *testing.F) {
	f.Add(unhex(f, "00 84 18 64 20 02 01 dd"))
	f.Add(unhex(f, "77 00 84 18 64 20 02 01 dd"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ipmb.ParseSendMessage(data)
		if err != nil {
			return
		}
		if b, err := s.AppendBinary(nil); err != nil || !bytes.Equal(b, data) {
			t.Fatalf("% x became % x, %v", data, b, err)
		}
	})
}

// Whatever the nesting, what is permitted to a guest is on the list.
func FuzzInnermost(f *testing.F) {
	for n := range 3 {
		b, err := wrap(f, ipmb.Frame{To: 0x84, NetFn: ipmb.NetFnStorage, From: 0x82, Cmd: 0x47}, n).AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		frame, err := ipmb.ParseFrame(raw)
		if err != nil {
			return
		}
		path, err := ipmb.Innermost(frame)
		if len(path) == 0 || len(path) > ipmb.MaxNesting+1 {
			t.Fatalf("path of %d", len(path))
		}
		permitted := ipmb.DefaultGuestPolicy.Permit(frame)
		if err != nil && permitted == nil {
			t.Fatal("unreadable, but permitted")
		}
		in := path[len(path)-1]
		if permitted == nil && !in.IsResponse() && in.ToLUN != ipmb.LUNSMS && in.NetFn == ipmb.NetFnStorage && in.Cmd == 0x47 {
			t.Fatal("Clear SEL permitted")
		}
	})
}
