package main

import (
	"fmt"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/decode"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// faultView is a fault as it is printed.
type faultView struct {
	ID    uint32 `json:"id"`
	Fault string `json:"fault"`
	Match string `json:"match,omitempty"`
	// Sensor is whose fault it is; empty: the BMC's.
	Sensor string `json:"sensor,omitempty"`
	Hits   uint64 `json:"hits"`
	Left   uint32 `json:"left,omitempty"`  // requests it will still spoil
	Until  string `json:"until,omitempty"` // RFC 3339
}

func viewFault(f *v1.Fault) faultView {
	v := faultView{ID: f.Id, Hits: f.Hits}
	for _, k := range bmcFaults {
		if k.kind == f.Bmc.GetKind() {
			v.Fault = k.word
		}
	}
	switch f.Bmc.GetKind() {
	case v1.BMCFaultKind_BMC_FAULT_KIND_DELAY:
		v.Fault += " " + time.Duration(f.Bmc.Delay).String()
	case v1.BMCFaultKind_BMC_FAULT_KIND_CODE:
		v.Fault += fmt.Sprintf(" 0x%02x", f.Bmc.CompletionCode)
	case v1.BMCFaultKind_BMC_FAULT_KIND_TRUNCATE:
		v.Fault += fmt.Sprintf(" %d", f.Bmc.Keep)
	}
	if m := f.Bmc.GetMatch(); m != nil {
		v.Match = fmt.Sprintf("%02x/%02x %s", m.NetFn, m.Command, decode.Name(ipmb.NetFn(m.NetFn), 0, ipmb.Cmd(m.Command)))
	}
	if f.Sensor != nil {
		v.Sensor, v.Fault = f.Sensor.Sensor, describeSensorFault(f.Sensor)
	}
	if n := f.Bmc.GetCount(); uint64(n) > f.Hits {
		v.Left = n - uint32(f.Hits)
	}
	if f.Until != 0 {
		v.Until = time.Unix(0, f.Until).Format(time.RFC3339)
	}
	return v
}

func (a *app) printFaults(faults []*v1.Fault) error {
	views := make([]faultView, len(faults))
	for i, f := range faults {
		views[i] = viewFault(f)
	}
	return a.print(views, func(tb *table) {
		tb.header = []string{"ID", "FAULT", "AT", "HITS", "LEFT", "UNTIL"}
		for _, v := range views {
			at, left := v.Match, "all"
			switch {
			case v.Sensor != "":
				at, left = v.Sensor, ""
			case v.Left > 0:
				left = fmt.Sprint(v.Left)
			}
			tb.row(v.ID, v.Fault, at, v.Hits, left, v.Until)
		}
	})
}
