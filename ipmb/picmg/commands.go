package picmg

import "github.com/midplane-project/midplane/ipmb"

// Commands (Wireshark packet-ipmi-picmg.c; 2Eh–38h are HPM.1, ipmitool ipmi_hpmfwupg.h).
const (
	CmdGetProperties          ipmb.Cmd = 0x00
	CmdGetAddressInfo         ipmb.Cmd = 0x01
	CmdGetShelfAddress        ipmb.Cmd = 0x02
	CmdSetShelfAddress        ipmb.Cmd = 0x03
	CmdFRUControl             ipmb.Cmd = 0x04
	CmdGetLEDProperties       ipmb.Cmd = 0x05
	CmdGetLEDColors           ipmb.Cmd = 0x06
	CmdSetLEDState            ipmb.Cmd = 0x07
	CmdGetLEDState            ipmb.Cmd = 0x08
	CmdSetIPMBState           ipmb.Cmd = 0x09
	CmdSetActivationPolicy    ipmb.Cmd = 0x0A
	CmdGetActivationPolicy    ipmb.Cmd = 0x0B
	CmdSetActivation          ipmb.Cmd = 0x0C
	CmdGetDeviceLocator       ipmb.Cmd = 0x0D
	CmdSetPortState           ipmb.Cmd = 0x0E
	CmdGetPortState           ipmb.Cmd = 0x0F
	CmdComputePower           ipmb.Cmd = 0x10
	CmdSetPowerLevel          ipmb.Cmd = 0x11
	CmdGetPowerLevel          ipmb.Cmd = 0x12
	CmdRenegotiatePower       ipmb.Cmd = 0x13
	CmdGetFanProperties       ipmb.Cmd = 0x14
	CmdSetFanLevel            ipmb.Cmd = 0x15
	CmdGetFanLevel            ipmb.Cmd = 0x16
	CmdBusedResource          ipmb.Cmd = 0x17
	CmdGetIPMBLinkInfo        ipmb.Cmd = 0x18
	CmdGetShelfManagerAddress ipmb.Cmd = 0x1B
	CmdSetFanPolicy           ipmb.Cmd = 0x1C
	CmdGetFanPolicy           ipmb.Cmd = 0x1D
	CmdFRUControlCapabilities ipmb.Cmd = 0x1E
	CmdFRUInventoryLock       ipmb.Cmd = 0x1F
	CmdFRUInventoryWrite      ipmb.Cmd = 0x20
	CmdGetShelfManagerIP      ipmb.Cmd = 0x21
	CmdGetShelfPower          ipmb.Cmd = 0x22
	CmdGetUpgradeCapabilities ipmb.Cmd = 0x2E
	CmdSetFRUExtracted        ipmb.Cmd = 0x3A
	CmdGetHPMCapabilities     ipmb.Cmd = 0x3E
)

// ThisFRU is the FRU id of a controller itself.
const ThisFRU uint8 = 0
