package mc

import (
	"context"

	"github.com/midplane-project/midplane/ipmb"
)

// deviceSDRCount asks Get Device SDR Info for the number of records, not of
// sensors (IPMI 2.0 §35.2).
const deviceSDRCount = 0x01

// DeviceSDRCommands gives the rows by which a controller tells the records of
// its own sensors. They do not change while it runs, so there is no population
// change indicator; a reservation is as of the SDR repository.
func (s *Sensors) DeviceSDRCommands(source SDRSource) []ipmb.Command {
	d := readOnly(source)
	row := func(name string, cmd ipmb.Cmd, data ipmb.Span, ref string, do func(context.Context, *ipmb.Request) ([]byte, error)) ipmb.Command {
		return ipmb.Command{
			Name: name, NetFn: ipmb.NetFnSensor, Cmd: cmd, Privilege: ipmb.PrivilegeUser, AnyLUN: true,
			Data: data, Ref: ref, Do: do,
		}
	}
	return []ipmb.Command{
		row("Get Device SDR Info", 0x20, ipmb.Between(0, 1), "IPMI 2.0 §35.2", func(ctx context.Context, req *ipmb.Request) ([]byte, error) {
			return s.deviceInfo(ctx, source, req)
		}),
		row("Get Device SDR", 0x21, ipmb.Exactly(6), "IPMI 2.0 §35.3", d.get),
		row("Reserve Device SDR Repository", 0x22, ipmb.Exactly(0), "IPMI 2.0 §35.4", d.reserve),
	}
}

// deviceInfo counts the sensors of the LUN that was asked, or all records.
func (s *Sensors) deviceInfo(ctx context.Context, source SDRSource, req *ipmb.Request) ([]byte, error) {
	var count, luns byte
	for _, n := range s.order {
		luns |= 1 << n.key.LUN
		if n.key.LUN == req.LUN {
			count++
		}
	}
	if len(req.Data) > 0 && req.Data[0]&deviceSDRCount != 0 {
		records, _, err := source.SDRs(ctx)
		if err != nil {
			return nil, err
		}
		count = byte(len(records))
	}
	return []byte{count, luns}, nil
}
