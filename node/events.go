package node

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/mc/pef"
	midplanev1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// eventBody is the length of a Platform Event from EvM revision to event data
// 3 (IPMI 2.0 §29.3). From the system interface the software's generator id
// comes in front of it; on the bus the sender's address stands for it.
const eventBody = 7

// cmdPlatformEvent reports an event (IPMI 2.0 §29.3).
const cmdPlatformEvent ipmb.Cmd = 0x02

// generator gives the generator id of a controller (IPMI 2.0 table 32-1, bytes 8 and 9).
func generator(a ipmb.Addr, l ipmb.LUN) uint16 { return uint16(a) | uint16(l)<<8 }

// outbox is where events wait, on disk, until the shelf has them.
type outbox interface {
	Append(*midplanev1.Event) (n uint64, err error)
}

// events takes what happens at this controller to the local SEL, the event
// message buffer, the filters and the event receiver.
type events struct {
	self     ipmb.Addr
	sel      *localSEL
	mail     *messages
	receiver *mc.EventReceiver
	outbox   outbox // nil on a standalone node
	log      *slog.Logger
	pef      *pef.PEF

	// send reports to a receiver other than 20h.
	send func(to mc.Receiver, body []byte, speaker ipmb.Speaker)
}

func (e *events) commands() []ipmb.Command {
	return []ipmb.Command{{
		Name: "Platform Event", NetFn: ipmb.NetFnSensor, Cmd: cmdPlatformEvent, Privilege: ipmb.PrivilegeOperator,
		Data: ipmb.Between(eventBody, eventBody+1), Effect: true, Ref: "IPMI 2.0 §29.3", Do: e.platformEvent,
	}}
}

func (e *events) platformEvent(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	gen, body := generator(req.Origin.Source, req.Origin.SourceLUN), req.Data
	if req.Origin.Door == ipmb.DoorSystem {
		if len(req.Data) != eventBody+1 {
			return nil, ipmb.ErrLength
		}
		gen, body = uint16(req.Data[0]), req.Data[1:]
	} else if len(req.Data) != eventBody {
		return nil, ipmb.ErrLength
	}
	return nil, e.report(ctx, req, gen, body)
}

// report logs one event, and passes it on unless it came over the bus: what
// another controller reports here is for this log, and is not sent twice.
func (e *events) report(ctx context.Context, req *ipmb.Request, gen uint16, body []byte) error {
	record := mc.SELEntry{2: mc.SELTypeSystem, 7: byte(gen), 8: byte(gen >> 8)}
	copy(record[9:], body)
	record.Stamp(0, e.sel.SELTime(ctx))
	if e.mail.logs() {
		switch stored, err := e.sel.add(record); {
		case err == nil:
			record = stored
		case req.Origin.Door == ipmb.DoorInternal && ipmb.CodeOf(err) == ipmb.ErrOutOfSpace:
			// The log is full and refuses. Nobody would try again, so what this
			// controller has to say goes on without it; others are answered.
		default:
			return err
		}
	}
	e.mail.bufferEvent(record[:])
	defer e.pef.Logged(record) // what comes of it is told after it
	if req.Origin.Door == ipmb.DoorIPMB {
		return nil
	}
	return e.forward(req.Origin.Speaker, body)
}

// level passes on what the log says of itself. It is logged already, and no
// answer hangs on it: who filled the log has had theirs stored.
func (e *events) level(record mc.SELEntry) {
	e.mail.bufferEvent(record[:])
	defer e.pef.Logged(record)
	if err := e.forward(ipmb.SpeakerController, record[mc.SELEntryLen-eventBody:]); err != nil {
		e.log.Error("event of the log not passed on", "err", err)
	}
}

func (e *events) forward(speaker ipmb.Speaker, body []byte) error {
	to := e.receiver.Get()
	switch {
	case to.Addr == mc.ReceiverNone || to.Addr == e.self:
		return nil
	case to.Addr != ipmb.AddrShelfManager:
		e.send(to, body, speaker)
		return nil
	case e.outbox == nil:
		return nil
	}
	_, err := e.outbox.Append(&midplanev1.Event{
		Time: time.Now().UnixNano(), Generator: uint32(generator(e.self, ipmb.LUNBMC)), Body: body, Speaker: wireSpeaker(speaker),
	})
	if err != nil {
		return fmt.Errorf("keep an event for the shelf: %w", err)
	}
	return nil
}

func wireSpeaker(s ipmb.Speaker) midplanev1.Speaker {
	switch s {
	case ipmb.SpeakerGuest:
		return midplanev1.Speaker_SPEAKER_GUEST
	case ipmb.SpeakerSession:
		return midplanev1.Speaker_SPEAKER_SESSION
	case ipmb.SpeakerAPI:
		return midplanev1.Speaker_SPEAKER_API
	}
	return midplanev1.Speaker_SPEAKER_CONTROLLER
}
