package manager

import (
	"context"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// systemSoftware is the first software id of system management software, as a
// generator of events (IPMI 2.0 table 5-4).
const systemSoftware = 0x41

// eventCommands gives Platform Event as it comes over a bus: seven bytes, and
// the generator is who sent them. It is answered when it is committed. A
// guest's event is logged as what it is, and takes up only its slot's share.
func (m *Manager) eventCommands() []ipmb.Command {
	return []ipmb.Command{{
		Name: "Platform Event", NetFn: ipmb.NetFnSensor, Cmd: sel.CmdPlatformEvent, Privilege: ipmb.PrivilegeOperator,
		Data: ipmb.Exactly(7), Effect: true, Ref: "IPMI 2.0 §29.3", Do: m.platformEvent,
	}}
}

func isPlatformEvent(row *ipmb.Command) bool {
	return row.NetFn == ipmb.NetFnSensor && row.Cmd == sel.CmdPlatformEvent
}

func (m *Manager) platformEvent(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	event, err := sel.ParseBus(req.Data)
	if err != nil {
		return nil, err
	}
	record := sel.SystemRecord(generatorOf(req.Origin), event).Marshal()
	_, err = selStore{m}.SELAdd(ctx, req, mc.SELEntry(record))
	return nil, err
}

// generatorOf names who made an event.
func generatorOf(o ipmb.Origin) sel.Generator {
	if o.Door != ipmb.DoorIPMB {
		return sel.SoftwareGenerator(systemSoftware, 0)
	}
	return sel.ControllerGenerator(o.Source, o.SourceLUN, ipmb.ChannelIPMB)
}
