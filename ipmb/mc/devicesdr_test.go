package mc_test

import (
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

func TestDeviceSDRs(t *testing.T) {
	src := &sdrs{changed: time.Unix(0x01020304, 0), list: []mc.SDRRecord{bytesOf(t, "0100 51 12 03 AABBCC"), bytesOf(t, "0500 51 C0 02 1122")}}
	d := newDevice(t, &mc.MemoryRecords{})
	d.Handler = ipmb.NewMux(d.DeviceSDRCommands(src))
	id := d.ask(0, "22")[3:]
	d.steps(0, []step{
		{do: "20", want: "00 03 03"},    // three sensors here, and some on LUN 1
		{do: "20 00", want: "00 03 03"}, //
		{do: "20 01", want: "00 02 03"}, // records
		{do: "20 00 00", want: "c7"},
		{do: "21 00 00 00 00 00 ff", want: "00 05 00 01 00 51 12 03 aa bb cc"},
		{do: "21 00 00 05 00 00 05", want: "00 ff ff 05 00 51 c0 02"},
		{do: "21 00 00 05 00 05 02", want: "c5"},
		{do: "21" + id + "05 00 05 02", want: "00 ff ff 11 22"},
		{do: "21 00 00 07 00 00 ff", want: "cb"},
		{do: "21" + id + "05 00 08 01", want: "c9"},
		{do: "21 00 00 05 00 00 20", want: "ca"},
		{do: "21 00 00", want: "c7"},
	})
	d.steps(1, []step{{do: "20", want: "00 02 03"}})
	d.steps(3, []step{{do: "20", want: "00 00 03"}})
}
