package mc_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
)

// What is read of sensors is what their records say.
func TestReadsFollowTheRecords(t *testing.T) {
	src := &sdrs{changed: time.Unix(1, 0), list: []mc.SDRRecord{bytesOf(t, "0100 51 12 03 AABBCC")}}
	d := newDevice(t, &mc.MemoryRecords{})
	d.Handler = ipmb.NewMux(d.DeviceSDRCommands(src))
	first := d.ask(0, "22")
	d.steps(0, []step{
		{do: "20 01", want: "00 01 03"},
		{do: "21" + first[3:] + "01 00 05 03", want: "00 ff ff aa bb cc"},
	})
	src.list, src.changed = append(src.list, bytesOf(t, "0500 51 C0 02 1122")), time.Unix(2, 0)
	d.steps(0, []step{
		{do: "20 01", want: "00 02 03"},
		{do: "21" + first[3:] + "01 00 05 03", want: "c5"}, // the reservation ended
		{do: "21" + d.ask(0, "22")[3:] + "01 00 05 03", want: "00 05 00 aa bb cc"},
	})

	bodies := testSDRs()
	bodies[0].(*sdr.Full).Factors = sdr.Factors{M: 7, B: 0x155, RExp: -2}
	s, err := mc.NewSensors(mc.SensorConfig{SDRs: bodies[:1], Records: &mc.MemoryRecords{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	d.Handler = ipmb.NewMux(s.Commands(), s.DeviceSDRCommands(src))
	d.steps(0, []step{
		{do: "23 01 50", want: "00 50 07 00 55 40 00 e0"},
		{do: "20", want: "00 01 01"}, // one sensor, and none on LUN 1
	})
}

// What a firewall says is there is what the mux serves.
func TestFirewallFollowsTheRows(t *testing.T) {
	reads := func(more ...ipmb.Command) (out []string) {
		var m *ipmb.Mux
		f, err := mc.OpenFirewall(func() *ipmb.Mux { return m }, mc.Channels{mc.SystemChannel("kcs")}, &mc.MemoryRecords{})
		if err != nil {
			t.Fatal(err)
		}
		m = ipmb.NewMux(f.Commands(), more)
		r := repository{Mux: m}
		for _, ask := range []string{"06 09 0F", "06 0A 0F 00 00", "06 0B 0F 00 00 02", "06 0C 0F 00 00", "06 0D 0F 00 00 02", "06 64 0F 2E 00"} {
			out = append(out, r.ask(t, admin, ask))
		}
		return out
	}
	ok := func(context.Context, *ipmb.Request) ([]byte, error) { return nil, nil }
	without, with := reads(), reads(
		ipmb.Command{Name: "Chassis Control", NetFn: ipmb.NetFnChassis, Cmd: 0x02, Data: ipmb.Exactly(1), Do: ok},
		ipmb.Command{Name: "OEM", NetFn: ipmb.NetFnOEM, Body: 0x123456, Cmd: 0x07, Do: ok},
	)
	for i, want := range []struct{ without, with string }{
		{"000108000000000000000000000000000000", "000109008000000000000000000000000000"},
		{"00ffffffffffffffffffffffffffffffff", "00fbffffffffffffffffffffffffffffff"},
		{"cc", "00000211c0ffffff"},
		{"0000000000000000000000000000000000", "0004000000000000000000000000000000"},
		{"cc", "003f000000"},
		{"c9", "000101563412"},
	} {
		if without[i] != want.without || with[i] != want.with {
			t.Errorf("read %d: %s without the rows, %s with them", i, without[i], with[i])
		}
	}
}
