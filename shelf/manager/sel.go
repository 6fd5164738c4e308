package manager

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Commands of the SEL device that guests may not use here (IPMI 2.0 §31).
const (
	cmdDeleteSEL  ipmb.Cmd = 0x46
	cmdClearSEL   ipmb.Cmd = 0x47
	cmdSetSELTime ipmb.Cmd = 0x49
)

// selStore is the shelf's SEL: reads from the replicated state, changes through raft.
type selStore struct{ m *Manager }

// SELInfo gives the SEL at a glance.
func (s selStore) SELInfo(context.Context) (mc.SELInfo, error) {
	i, err := s.m.cfg.State.SEL(s.m.cfg.Shelf)
	if err != nil {
		return mc.SELInfo{}, err
	}
	return mc.SELInfo{
		Entries: uint16(i.Records), Free: uint16(i.Limit - i.Records),
		LastAdd: secondsToTime(i.LastAdd), LastErase: secondsToTime(i.LastErase),
		Overflow: i.Overflow, Reservation: i.Reservation,
	}, nil
}

// secondsToTime reads a SEL timestamp, of which 0 means never.
func secondsToTime(s uint32) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0)
}

// SELGet gives one record and the id of the next.
func (s selStore) SELGet(_ context.Context, id uint16) (mc.SELEntry, uint16, error) {
	r, next, err := s.m.cfg.State.SELRecord(s.m.cfg.Shelf, id)
	return mc.SELEntry(r), next, err
}

// SELAdd logs a record.
func (s selStore) SELAdd(ctx context.Context, req *ipmb.Request, e mc.SELEntry) (uint16, error) {
	a, err := s.m.commit(ctx, req, &v1.Command{Kind: &v1.Command_AddSel{AddSel: &v1.AddSEL{
		Shelf: s.m.cfg.Shelf, Record: e[:], Source: uint32(sourceOf(req.Origin)), Speaker: speakerOf(req.Origin),
	}}})
	return recordID(a, err)
}

// SELDelete takes one record out of the SEL; the log keeps it.
func (s selStore) SELDelete(ctx context.Context, req *ipmb.Request, id uint16) (uint16, error) {
	a, err := s.m.commit(ctx, req, &v1.Command{Kind: &v1.Command_DeleteSel{DeleteSel: &v1.DeleteSEL{
		Shelf: s.m.cfg.Shelf, Record: uint32(id), Reservation: reservationOf(req),
	}}})
	return recordID(a, err)
}

// SELClear empties the SEL; the log keeps what was in it.
func (s selStore) SELClear(ctx context.Context, req *ipmb.Request) error {
	_, err := s.m.commit(ctx, req, &v1.Command{Kind: &v1.Command_ClearSel{ClearSel: &v1.ClearSEL{
		Shelf: s.m.cfg.Shelf, Reservation: reservationOf(req),
	}}})
	return err
}

// reservationOf is the reservation of Delete SEL Entry and Clear SEL, their
// first two bytes: it may have ended by the time that the command is applied.
func reservationOf(req *ipmb.Request) uint32 { return uint32(binary.LittleEndian.Uint16(req.Data)) }

// SELTime is the SEL's clock: the leader's, shifted.
func (s selStore) SELTime(context.Context) time.Time {
	i, err := s.m.cfg.State.SEL(s.m.cfg.Shelf)
	if err != nil {
		return time.Time{}
	}
	return time.Now().Add(i.Offset)
}

// SELSetTime shifts the SEL's clock.
func (s selStore) SELSetTime(ctx context.Context, req *ipmb.Request, t time.Time) error {
	_, err := s.m.commit(ctx, req, &v1.Command{Kind: &v1.Command_SetSelTime{SetSelTime: &v1.SetSELTime{
		Shelf: s.m.cfg.Shelf, OffsetSeconds: t.Unix() - time.Now().Unix(),
	}}})
	return err
}

// recordID reads a record id out of the state's answer.
func recordID(a *v1.Answer, err error) (uint16, error) {
	switch {
	case err != nil:
		return 0, err
	case len(a.GetData()) < 2:
		return 0, ipmb.ErrUnspecified
	}
	return binary.LittleEndian.Uint16(a.GetData()), nil
}

// sourceOf is the address that a record is logged under: the shelf's own users
// speak from 0x20.
func sourceOf(o ipmb.Origin) ipmb.Addr {
	if o.Source.Valid() {
		return o.Source
	}
	return ipmb.AddrShelfManager
}

// speakerOf is the speaker as the log has it.
func speakerOf(o ipmb.Origin) v1.Speaker {
	return v1.Speaker(o.Speaker) + v1.Speaker_SPEAKER_CONTROLLER
}
