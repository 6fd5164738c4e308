package wire

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const instance = "0123456789abcdef"

func request() ipmb.Message {
	return ipmb.Message{
		ID: 7, Instance: instance, Plane: ipmb.PlaneB, Term: 3, Epoch: 9,
		Frame: ipmb.Frame{To: 0x84, NetFn: ipmb.NetFnApp, From: 0x82, Seq: 5, FromLUN: ipmb.LUNSMS, Cmd: 1, Data: []byte{}},
		Origin: ipmb.Origin{
			Speaker: ipmb.SpeakerGuest, Door: ipmb.DoorIPMB, Channel: ipmb.ChannelIPMB, Privilege: ipmb.PrivilegeOperator,
			Shelf: "lab", Source: 0x82, SourceLUN: ipmb.LUNSMS, Session: 4, Instance: instance, ID: 7,
		},
	}
}

func response() ipmb.Message {
	m := request()
	m.Origin, m.Frame = ipmb.Origin{}, m.Frame.Reply(ipmb.Response{Data: []byte{1, 2}})
	return m
}

func TestRoundTrip(t *testing.T) {
	for name, m := range map[string]ipmb.Message{"request": request(), "response": response()} {
		t.Run(name, func(t *testing.T) {
			e, err := ToEnvelope(m)
			if err != nil {
				t.Fatal(err)
			}
			got, err := FromEnvelope("lab", e)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(m, got); d != "" {
				t.Errorf("message changed on its way (-sent +got):\n%s", d)
			}
		})
	}
}

func TestFromEnvelopeRefuses(t *testing.T) {
	tests := map[string]struct {
		spoil func(*v1.Envelope)
		want  error
	}{
		"no frame":          {func(e *v1.Envelope) { e.Frame = nil }, ipmb.ErrFrameShort},
		"long frame":        {func(e *v1.Envelope) { e.Frame = make([]byte, ipmb.MaxFrameLen+1) }, ipmb.ErrFrameLong},
		"checksum":          {func(e *v1.Envelope) { e.Frame[2]++ }, ipmb.ErrFrameChecksum},
		"no instance":       {func(e *v1.Envelope) { e.Instance = nil }, ErrInstance},
		"long instance":     {func(e *v1.Envelope) { e.Instance = make([]byte, 17) }, ErrInstance},
		"no origin":         {func(e *v1.Envelope) { e.Origin = nil }, ErrOrigin},
		"unknown speaker":   {func(e *v1.Envelope) { e.Origin.Speaker = 5 }, ErrOrigin},
		"negative speaker":  {func(e *v1.Envelope) { e.Origin.Speaker = -1 }, ErrOrigin},
		"unknown privilege": {func(e *v1.Envelope) { e.Origin.Privilege = 6 }, ErrOrigin},
		"wide privilege":    {func(e *v1.Envelope) { e.Origin.Privilege = 0x104 }, ErrOrigin},
		"wide LUN":          {func(e *v1.Envelope) { e.Origin.SourceLun = 4 }, ErrOrigin},
		"unknown plane":     {func(e *v1.Envelope) { e.Plane = 3 }, ErrPlane},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e, err := ToEnvelope(request())
			if err != nil {
				t.Fatal(err)
			}
			tt.spoil(e)
			if _, err := FromEnvelope("lab", e); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestToEnvelopeRefuses(t *testing.T) {
	long := request()
	long.Frame.Data = make([]byte, ipmb.MaxFramePayload+1)
	if _, err := ToEnvelope(long); !errors.Is(err, ipmb.ErrFrameLong) {
		t.Errorf("long frame: %v", err)
	}
	nobody := request()
	nobody.Instance = "short"
	if _, err := ToEnvelope(nobody); !errors.Is(err, ErrInstance) {
		t.Errorf("short instance: %v", err)
	}
}

func FuzzFromEnvelope(f *testing.F) {
	for _, m := range []ipmb.Message{request(), response()} {
		e, err := ToEnvelope(m)
		if err != nil {
			f.Fatal(err)
		}
		b, err := proto.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e v1.Envelope
		if proto.Unmarshal(b, &e) != nil {
			return
		}
		m, err := FromEnvelope("lab", &e)
		if err != nil {
			return
		}
		again, err := ToEnvelope(m)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		m2, err := FromEnvelope("lab", again)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if d := cmp.Diff(m, m2); d != "" {
			t.Error(d)
		}
	})
}
