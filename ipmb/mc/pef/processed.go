package pef

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Log is the SEL as PEF reads it; see mc.SELStore.
type Log interface {
	SELInfo(ctx context.Context) (mc.SELInfo, error)
	SELGet(ctx context.Context, id uint16) (e mc.SELEntry, next uint16, err error)
	SELTime(ctx context.Context) time.Time
}

// Record ids with a meaning of their own.
const (
	idFirst   = 0x0000 // to SELGet
	idLast    = 0xFFFF // to SELGet
	idNoLog   = 0x0000 // processed, but not logged
	idNone    = 0xFFFF // no record
	idsInAll  = 0xFFFE // ids from 0001h to FFFEh
	idsAround = idsInAll / 2
)

// processed says how far filtering has come (IPMI 2.0 §30.5, §30.6).
type processed struct {
	reached  uint16 // the newest logged event that needs no more filtering; idNone: all are to come
	bmc      uint16 // what this controller processed last
	software uint16 // what software says it processed last
}

const (
	recordProcessed = "pef/processed"
	processedLen    = 6
)

func (p *processed) record() []byte {
	b := binary.LittleEndian.AppendUint16(nil, p.reached)
	b = binary.LittleEndian.AppendUint16(b, p.bmc)
	return binary.LittleEndian.AppendUint16(b, p.software)
}

func (p *processed) take(v []byte) error {
	le := binary.LittleEndian
	*p = processed{le.Uint16(v), le.Uint16(v[2:]), le.Uint16(v[4:])}
	return nil
}

// pass notes that an event has been dealt with.
func (p *processed) pass(id uint16) {
	p.bmc = id
	p.skip(id)
}

// skip notes that a record needs no filtering.
func (p *processed) skip(id uint16) {
	if isRecord(id) && (p.reached == idNone || newer(id, p.reached)) {
		p.reached = id
	}
}

// isRecord reports whether an id is that of a record.
func isRecord(id uint16) bool { return id != idNoLog && id != idNone }

// newer reports whether a record was logged after another. Ids come round
// after FFFEh, and a log is too small to hold half of them.
func newer(id, than uint16) bool {
	ahead := (int(id) - int(than) + idsInAll) % idsInAll
	return ahead > 0 && ahead <= idsAround
}

// rest gives the events of a log that neither PEF nor software has processed,
// and settles on where in the log that leaves reached, whose own record may be
// gone: ids may be used again from there.
func (p *processed) rest(ctx context.Context, log Log) (events []Event, err error) {
	reached := uint16(idNone)
	for id := uint16(idFirst); ; {
		r, next, err := log.SELGet(ctx, id)
		if isEmpty(err, id) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch {
		case p.reached != idNone && !newer(r.ID(), p.reached):
			reached, events = r.ID(), nil
		case r.ID() == p.software:
			events = nil
		default:
			if e, ok := eventOf(r); ok {
				events = append(events, e)
			}
		}
		if next == idLast {
			break
		}
		id = next
	}
	p.reached = reached
	return events, nil
}

// newest is the id of the last record of a log, idNone for none.
func newest(ctx context.Context, log Log) (uint16, error) {
	r, _, err := log.SELGet(ctx, idLast)
	if isEmpty(err, idLast) {
		return idNone, nil
	}
	return r.ID(), err
}

// isEmpty reports whether an answer of SELGet's says that the log is empty.
func isEmpty(err error, id uint16) bool {
	return (id == idFirst || id == idLast) && ipmb.CodeOf(err) == ipmb.ErrNotPresent
}
