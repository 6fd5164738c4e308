package node

import (
	"encoding/binary"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/redact"
)

// keep puts a request into the ledger, if it may be there.
func (a *asks) keep(k askKey, m ipmb.Message, began time.Time) (slot int) {
	record := appendAsk(nil, k, m, began)
	if len(record) > askHeader && redact.Secret(record[askHeader:]) {
		return noSlot
	}
	return a.ledger.add(recordAsk, record)
}

// askHeader is the length of what stands in front of the frame in a record:
// id, beginning in Unix nanoseconds, number and LUN of the guest.
const askHeader = 18

func appendAsk(b []byte, k askKey, m ipmb.Message, began time.Time) []byte {
	b = binary.LittleEndian.AppendUint64(b, m.ID)
	b = binary.LittleEndian.AppendUint64(b, uint64(began.UnixNano()))
	b = append(b, k.seq, byte(k.lun))
	b, err := m.Frame.AppendBinary(b)
	if err != nil {
		return nil // too long for any bus: its sending will fail too
	}
	return b
}

func (a *asks) parse(b []byte) (k askKey, m ipmb.Message, began time.Time, err error) {
	if len(b) < askHeader {
		return k, m, began, ipmb.ErrFrameShort
	}
	f, err := ipmb.ParseFrame(b[askHeader:])
	if err != nil {
		return k, m, began, err
	}
	o := a.originOnBus(ipmb.SpeakerGuest, ipmb.LUN(b[17]))
	o.ID, o.Instance = binary.LittleEndian.Uint64(b), a.instance
	m = ipmb.Message{ID: o.ID, Instance: o.Instance, Origin: o, Frame: f}
	began = time.Unix(0, int64(binary.LittleEndian.Uint64(b[8:])))
	return askKey{f.To, ipmb.LUN(b[17]), b[16]}, m, began, nil
}
