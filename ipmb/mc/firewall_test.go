package mc_test

import (
	"context"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// walled is a small controller behind a firewall.
type walled struct {
	*ipmb.Mux
	records mc.MemoryRecords
}

func (w *walled) start(t *testing.T) {
	t.Helper()
	f, err := mc.OpenFirewall(func() *ipmb.Mux { return w.Mux }, mc.Channels{mc.IPMBChannel, mc.LANChannel, mc.SystemChannel("kcs")}, &w.records)
	if err != nil {
		t.Fatal(err)
	}
	ok := func(context.Context, *ipmb.Request) ([]byte, error) { return nil, nil }
	w.Mux = ipmb.NewMux(f.Commands(), []ipmb.Command{
		{Name: "Chassis Status", NetFn: 0x00, Cmd: 0x01, Do: ok},
		{Name: "Chassis Control", NetFn: 0x00, Cmd: 0x02, Data: ipmb.Exactly(1), Do: ok},
		{Name: "Get Message", NetFn: 0x06, Cmd: 0x33, Access: ipmb.SystemOnly, Do: ok},
		{Name: "Send Message", NetFn: 0x06, Cmd: 0x34, AnyLUN: true, Data: ipmb.AtLeast(1), Do: ok},
		{Name: "a high one", NetFn: 0x06, Cmd: 0xF0, Do: ok},
		{Name: "PICMG", NetFn: 0x2C, Body: ipmb.BodyPICMG, Cmd: 0x00, Do: ok},
		{Name: "DCMI", NetFn: 0x2C, Body: ipmb.BodyDCMI, Cmd: 0x01, Do: ok},
		{Name: "OEM", NetFn: 0x2E, Body: 0x123456, Cmd: 0x07, Do: ok},
	})
	w.Guard = f.Guard
}

const (
	allSupported = "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF" // inverted: nothing is there
	appSupported = "FFC1FFFFFFFFE7FFFFFFFFFFE0FFFFFF" // 09-0D, 33, 34, 60-64
	appLAN       = "FFC1FFFFFFFFEFFFFFFFFFFFE0FFFFFF" // without Get Message
)

func TestFirewall(t *testing.T) {
	var w walled
	w.start(t)
	run(t, &w, admin, []exchange{
		{"network functions", "06 09 0F", "00 55 0900C000 08000000 08000000 08000000"},
		{"absent channel", "06 09 02", "CC"},
		{"commands", "06 0A 0F 06 00", "00" + appSupported},
		{"by its response", "06 0A 0F 07 00", "00" + appSupported},
		{"Get Message is not for LAN", "06 0A 01 06 00", "00" + appLAN},
		{"on LUN 2", "06 0A 0F 06 02", "00 FFFFFFFFFFFFEFFFFFFFFFFFFFFFFFFF"},
		{"high ones", "06 0A 0F 46 00", "00 FFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFF"},
		{"reserved operation", "06 0A 0F 86 00", "CC"},
		{"nothing there", "06 0A 0F 08 00", "00" + allSupported},
		{"of a body", "06 0A 0F 2C 00 00", "00 FE" + allSupported[2:]},
		{"of another", "06 0A 0F 2C 00 DC", "00 FD" + allSupported[2:]},
		{"no body", "06 0A 0F 2C 00", "C7"},
		{"body of none", "06 0A 0F 06 00 00", "C7"},
		{"of a vendor", "06 0A 0F 2E 00 563412", "00 7F" + allSupported[2:]},
		{"bodies", "06 64 0F 2C 00", "00 00 01 00"},
		{"the last", "06 64 0F 2C 01", "00 01 01 DC"},
		{"no more", "06 64 0F 2C 02", "C9"},
		{"vendors", "06 64 0F 2E 00", "00 01 01 563412"},
		{"none", "06 64 0F 06 00", "C9"},
		{"configurable", "06 0C 0F 06 00", "00 00000000000010000000000000000000"},
		{"on LUN 2 nothing is", "06 0C 0F 06 02", "00" + zeros(16)},
		{"enabled", "06 61 0F 00 00", "00 06" + zeros(15)},
		{"sub-functions", "06 0B 0F 00 00 02", "00 00 02 11 C0FFFFFF"},
		{"of a command without", "06 0B 0F 00 00 01", "00 00 02 11 FFFFFFFF"},
		{"of no command", "06 0B 0F 00 00 09", "CC"},
		{"configurable", "06 0D 0F 00 00 02", "00 3F000000"},
		{"not that of what stays", "06 0D 0F 06 00 33", "00 00000000"},
		{"enabled", "06 63 0F 00 00 02", "00 3F000000"},
	})
}

func TestFirewallDisables(t *testing.T) {
	var w walled
	w.start(t)
	lan, api := admin, admin
	lan.Door, lan.Channel = ipmb.DoorLAN, 1
	api.Door, api.Channel = ipmb.DoorAPI, ipmb.ChannelSystem
	run(t, &w, admin, []exchange{
		{"works", "00 01", "00"},
		{"disable", "06 60 0F 00 00 04" + zeros(15), "00"},
		{"disabled", "00 01", "D6"},
		{"wrong ones get what they always got", "00 01 00", "C7"},
		{"not enabled", "06 61 0E 00 00", "00 04" + zeros(15)},
		{"still there", "06 0A 0F 00 00", "00 F9" + allSupported[2:]},
		{"LUN 0 is curbed", "06 09 0F", "00 56 0900C000 08000000 08000000 08000000"},
		{"disable a PICMG command", "06 60 0F 2C 00" + zeros(16) + "00", "00"},
		{"disabled, with its body", "2C 00 00", "D6 00"},
		{"its neighbour is not", "2C 01 DC", "00 DC"},
		{"enable what is not there", "06 60 0F 00 00 07" + zeros(15), "80"},
		{"disable what must stay", "06 60 0F 06 00" + zeros(16), "80"},
		{"short mask", "06 60 0F 00 00 04", "C7"},
		{"absent channel", "06 60 05 00 00 04" + zeros(15), "CC"},
	})
	run(t, &w, lan, []exchange{{"another channel", "00 01", "00"}})
	run(t, &w, api, []exchange{{"the API comes by no channel", "00 01", "00"}})
	w.start(t)
	run(t, &w, admin, []exchange{
		{"after a restart", "00 01", "D6"},
		{"enable", "06 60 0F 00 00 06" + zeros(15), "00"},
		{"works again", "00 01", "00"},
		{"no power off and reset", "06 62 0F 00 00 02 36000000", "00"},
		{"disabled", "00 02 00", "D6"},
		{"disabled", "00 02 03", "D6"},
		{"not", "00 02 01", "00"},
		{"nor what is no sub-function", "00 02 09", "00"},
		{"enabled ones", "06 63 0F 00 00 02", "00 36000000"},
		{"ipmitool sends 4, the specification has 8", "06 62 0F 00 00 02 3E00000000000000", "00"},
		{"power off is disabled yet", "00 02 00", "D6"},
		{"reset is not", "00 02 03", "00"},
		{"a sub-function that is not there", "06 62 0F 00 00 02 7F000000", "80"},
		{"nor there", "06 62 0F 00 00 02 3F00000001000000", "80"},
		{"of what stays", "06 62 0F 06 00 33 00000000", "80"},
		{"behind a body", "06 62 0F 2C 00 00 00 00000000", "00"},
		{"its mask is short", "06 62 0F 2C 00 00 00 000000", "C7"},
		{"the whole command", "06 60 0F 00 00 02" + zeros(15), "00"},
		{"also its enabled parts", "00 02 01", "D6"},
	})
}

// A guest does not keep the shelf from asking.
func TestFirewallOfAGuest(t *testing.T) {
	var w walled
	w.start(t)
	guest, shelf := admin, admin
	guest.Speaker = ipmb.SpeakerGuest
	shelf.Door, shelf.Channel = ipmb.DoorIPMB, ipmb.ChannelIPMB
	run(t, &w, guest, []exchange{
		{"not the bus", "06 60 00 00 00 04" + zeros(15), "D4"},
		{"nor the LAN", "06 62 01 00 00 02 36000000", "D4"},
		{"but itself", "06 60 0E 00 00 04" + zeros(15), "00"},
		{"disabled", "00 01", "D6"},
	})
	run(t, &w, shelf, []exchange{
		{"the shelf asks", "00 01", "00"},
		{"and may disable", "06 60 00 00 00 04" + zeros(15), "00"},
		{"for itself", "00 01", "D6"},
	})
}
