package wire

import (
	"errors"
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// InstanceLen is the length in bytes of an instance UUID.
const InstanceLen = 16

// Errors of FromEnvelope and ToEnvelope, beside those of [ipmb.ParseFrame].
var (
	ErrInstance = errors.New("wire: instance is not 16 bytes")
	ErrOrigin   = errors.New("wire: request without a valid origin")
	ErrPlane    = errors.New("wire: unknown plane")
)

// ToEnvelope puts m in an envelope. The frame's bytes are copied.
func ToEnvelope(m ipmb.Message) (*v1.Envelope, error) {
	frame, err := m.Frame.AppendBinary(make([]byte, 0, len(m.Frame.Data)+ipmb.MinFrameLen))
	if err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	if len(m.Instance) != InstanceLen {
		return nil, ErrInstance
	}
	return Seal(m, frame), nil
}

// Seal puts m in an envelope with frame as the bytes of m.Frame: a switch that
// passes a frame on need not build it again. The envelope keeps frame.
func Seal(m ipmb.Message, frame []byte) *v1.Envelope {
	e := &v1.Envelope{
		Id: m.ID, Instance: []byte(m.Instance), Frame: frame,
		Plane: v1.Plane(m.Plane) + v1.Plane_PLANE_A, Term: m.Term, Epoch: m.Epoch,
	}
	if !m.Frame.IsResponse() {
		e.Origin = sealOrigin(m.Origin)
	}
	return e
}

// FromEnvelope reads an envelope that came on a stream of a shelf. The
// message's data aliases the envelope's frame. Door and channel of a request's
// origin are those of the bus: what they were elsewhere means nothing here.
func FromEnvelope(shelf string, e *v1.Envelope) (ipmb.Message, error) {
	f, err := ipmb.ParseFrame(e.GetFrame())
	if err != nil {
		return ipmb.Message{}, fmt.Errorf("wire: %w", err)
	}
	if len(e.GetInstance()) != InstanceLen {
		return ipmb.Message{}, ErrInstance
	}
	plane, err := openPlane(e.GetPlane())
	if err != nil {
		return ipmb.Message{}, err
	}
	m := ipmb.Message{ID: e.GetId(), Instance: string(e.GetInstance()), Frame: f, Plane: plane, Term: e.GetTerm(), Epoch: e.GetEpoch()}
	if f.IsResponse() {
		return m, nil
	}
	m.Origin, err = openOrigin(e.GetOrigin())
	if err != nil {
		return ipmb.Message{}, err
	}
	m.Origin.Shelf, m.Origin.Source, m.Origin.ID, m.Origin.Instance = shelf, f.From, m.ID, m.Instance
	return m, nil
}

func sealOrigin(o ipmb.Origin) *v1.Origin {
	return &v1.Origin{
		Speaker: v1.Speaker(o.Speaker) + v1.Speaker_SPEAKER_CONTROLLER, Privilege: uint32(o.Privilege),
		SourceLun: uint32(o.SourceLUN), Session: o.Session,
	}
}

// openOrigin reads an origin; a request without one has no speaker to trust.
func openOrigin(o *v1.Origin) (ipmb.Origin, error) {
	s := o.GetSpeaker() - v1.Speaker_SPEAKER_CONTROLLER
	if s < 0 || s > v1.Speaker(ipmb.SpeakerAPI) || o.GetPrivilege() > uint32(ipmb.PrivilegeOEM) || o.GetSourceLun() > uint32(ipmb.LUNOEM2) {
		return ipmb.Origin{}, ErrOrigin
	}
	return ipmb.Origin{
		Speaker: ipmb.Speaker(s), Door: ipmb.DoorIPMB, Channel: ipmb.ChannelIPMB,
		Privilege: ipmb.Privilege(o.GetPrivilege()), SourceLUN: ipmb.LUN(o.GetSourceLun()), Session: o.GetSession(),
	}, nil
}

// openPlane reads a plane; a sender that names none means the first.
func openPlane(p v1.Plane) (ipmb.Plane, error) {
	switch p {
	case v1.Plane_PLANE_UNSPECIFIED, v1.Plane_PLANE_A:
		return ipmb.PlaneA, nil
	case v1.Plane_PLANE_B:
		return ipmb.PlaneB, nil
	}
	return 0, ErrPlane
}
