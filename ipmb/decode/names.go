package decode

import (
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
)

// Name is the specification's name of a command, whether Midplane serves it
// or not; for an unknown one its numbers. n may be that of a response.
func Name(n ipmb.NetFn, body ipmb.Body, cmd ipmb.Cmd) string {
	n = n.Request()
	table := tables[n]
	if n == ipmb.NetFnGroup && body != ipmb.BodyPICMG {
		table = nil
	}
	if s, ok := table[cmd]; ok {
		return s
	}
	if n == ipmb.NetFnGroup || n == ipmb.NetFnOEM {
		return fmt.Sprintf("%s %02x/%02x", n, uint32(body), uint8(cmd))
	}
	return fmt.Sprintf("command %02x/%02x", uint8(n), uint8(cmd))
}

// tables are the names of IPMI 2.0 appendix G (as OpenIPMI's priv_table.c and
// Wireshark's packet-ipmi-*.c have them) and of PICMG 3.0 and HPM.1 (Wireshark
// packet-ipmi-picmg.c).
var tables = map[ipmb.NetFn]map[ipmb.Cmd]string{
	ipmb.NetFnChassis: chassisNames, ipmb.NetFnSensor: sensorNames, ipmb.NetFnApp: appNames,
	ipmb.NetFnStorage: storageNames, ipmb.NetFnTransport: transportNames, ipmb.NetFnGroup: picmgNames,
}

var chassisNames = map[ipmb.Cmd]string{
	0x00: "Get Chassis Capabilities", 0x01: "Get Chassis Status", 0x02: "Chassis Control", 0x03: "Chassis Reset",
	0x04: "Chassis Identify", 0x05: "Set Chassis Capabilities", 0x06: "Set Power Restore Policy",
	0x07: "Get System Restart Cause", 0x08: "Set System Boot Options", 0x09: "Get System Boot Options",
	0x0A: "Set Front Panel Button Enables", 0x0B: "Set Power Cycle Interval", 0x0F: "Get POH Counter",
}

var sensorNames = map[ipmb.Cmd]string{
	0x00: "Set Event Receiver", 0x01: "Get Event Receiver", 0x02: "Platform Event", 0x10: "Get PEF Capabilities",
	0x11: "Arm PEF Postpone Timer", 0x12: "Set PEF Configuration", 0x13: "Get PEF Configuration",
	0x14: "Set Last Processed Event ID", 0x15: "Get Last Processed Event ID", 0x16: "Alert Immediate", 0x17: "PET Acknowledge",
	0x20: "Get Device SDR Info", 0x21: "Get Device SDR", 0x22: "Reserve Device SDR Repository",
	0x23: "Get Sensor Reading Factors", 0x24: "Set Sensor Hysteresis", 0x25: "Get Sensor Hysteresis",
	0x26: "Set Sensor Threshold", 0x27: "Get Sensor Threshold", 0x28: "Set Sensor Event Enable",
	0x29: "Get Sensor Event Enable", 0x2A: "Re-arm Sensor Events", 0x2B: "Get Sensor Event Status",
	0x2D: "Get Sensor Reading", 0x2E: "Set Sensor Type", 0x2F: "Get Sensor Type", 0x30: "Set Sensor Reading and Event Status",
}

var appNames = map[ipmb.Cmd]string{
	0x01: "Get Device ID", 0x02: "Cold Reset", 0x03: "Warm Reset", 0x04: "Get Self Test Results",
	0x05: "Manufacturing Test On", 0x06: "Set ACPI Power State", 0x07: "Get ACPI Power State", 0x08: "Get Device GUID",
	0x09: "Get NetFn Support", 0x0A: "Get Command Support", 0x0B: "Get Command Sub-function Support",
	0x0C: "Get Configurable Commands", 0x0D: "Get Configurable Command Sub-functions",
	0x22: "Reset Watchdog Timer", 0x24: "Set Watchdog Timer", 0x25: "Get Watchdog Timer",
	0x2E: "Set BMC Global Enables", 0x2F: "Get BMC Global Enables", 0x30: "Clear Message Flags", 0x31: "Get Message Flags",
	0x32: "Enable Message Channel Receive", 0x33: "Get Message", 0x34: "Send Message", 0x35: "Read Event Message Buffer",
	0x36: "Get BT Interface Capabilities", 0x37: "Get System GUID", 0x38: "Get Channel Authentication Capabilities",
	0x39: "Get Session Challenge", 0x3A: "Activate Session", 0x3B: "Set Session Privilege Level", 0x3C: "Close Session",
	0x3D: "Get Session Info", 0x3F: "Get AuthCode", 0x40: "Set Channel Access", 0x41: "Get Channel Access",
	0x42: "Get Channel Info", 0x43: "Set User Access", 0x44: "Get User Access", 0x45: "Set User Name", 0x46: "Get User Name",
	0x47: "Set User Password", 0x48: "Activate Payload", 0x49: "Deactivate Payload", 0x4A: "Get Payload Activation Status",
	0x4B: "Get Payload Instance Info", 0x4C: "Set User Payload Access", 0x4D: "Get User Payload Access",
	0x4E: "Get Channel Payload Support", 0x4F: "Get Channel Payload Version", 0x50: "Get Channel OEM Payload Info",
	0x52: "Master Write-Read", 0x54: "Get Channel Cipher Suites", 0x55: "Suspend/Resume Payload Encryption",
	0x56: "Set Channel Security Keys", 0x57: "Get System Interface Capabilities", 0x58: "Set System Info Parameters",
	0x59: "Get System Info Parameters", 0x60: "Set Command Enables", 0x61: "Get Command Enables",
	0x62: "Set Command Sub-function Enables", 0x63: "Get Command Sub-function Enables", 0x64: "Get OEM NetFn IANA Support",
}

var storageNames = map[ipmb.Cmd]string{
	0x10: "Get FRU Inventory Area Info", 0x11: "Read FRU Data", 0x12: "Write FRU Data",
	0x20: "Get SDR Repository Info", 0x21: "Get SDR Repository Allocation Info", 0x22: "Reserve SDR Repository",
	0x23: "Get SDR", 0x24: "Add SDR", 0x25: "Partial Add SDR", 0x26: "Delete SDR", 0x27: "Clear SDR Repository",
	0x28: "Get SDR Repository Time", 0x29: "Set SDR Repository Time", 0x2A: "Enter SDR Repository Update Mode",
	0x2B: "Exit SDR Repository Update Mode", 0x2C: "Run Initialization Agent",
	0x40: "Get SEL Info", 0x41: "Get SEL Allocation Info", 0x42: "Reserve SEL", 0x43: "Get SEL Entry", 0x44: "Add SEL Entry",
	0x45: "Partial Add SEL Entry", 0x46: "Delete SEL Entry", 0x47: "Clear SEL", 0x48: "Get SEL Time", 0x49: "Set SEL Time",
	0x5A: "Get Auxiliary Log Status", 0x5B: "Set Auxiliary Log Status", 0x5C: "Get SEL Time UTC Offset", 0x5D: "Set SEL Time UTC Offset",
}

var transportNames = map[ipmb.Cmd]string{
	0x01: "Set LAN Configuration", 0x02: "Get LAN Configuration", 0x03: "Suspend BMC ARPs", 0x04: "Get IP/UDP/RMCP Statistics",
	0x10: "Set Serial/Modem Configuration", 0x11: "Get Serial/Modem Configuration", 0x12: "Set Serial/Modem Mux",
	0x20: "SOL Activating", 0x21: "Set SOL Configuration", 0x22: "Get SOL Configuration", 0x30: "Forwarded Command",
	0x31: "Set Forwarded Commands", 0x32: "Get Forwarded Commands", 0x33: "Enable Forwarded Commands",
}

var picmgNames = map[ipmb.Cmd]string{
	0x00: "Get PICMG Properties", 0x01: "Get Address Info", 0x02: "Get Shelf Address Info", 0x03: "Set Shelf Address Info",
	0x04: "FRU Control", 0x05: "Get FRU LED Properties", 0x06: "Get LED Color Capabilities", 0x07: "Set FRU LED State",
	0x08: "Get FRU LED State", 0x09: "Set IPMB State", 0x0A: "Set FRU Activation Policy", 0x0B: "Get FRU Activation Policy",
	0x0C: "Set FRU Activation", 0x0D: "Get Device Locator Record ID", 0x0E: "Set Port State", 0x0F: "Get Port State",
	0x10: "Compute Power Properties", 0x11: "Set Power Level", 0x12: "Get Power Level", 0x13: "Renegotiate Power",
	0x14: "Get Fan Speed Properties", 0x15: "Set Fan Level", 0x16: "Get Fan Level", 0x17: "Bused Resource Control",
	0x18: "Get IPMB Link Info", 0x19: "Set AMC Port State", 0x1A: "Get AMC Port State", 0x1B: "Get Shelf Manager IPMB Address",
	0x1C: "Set Fan Policy", 0x1D: "Get Fan Policy", 0x1E: "FRU Control Capabilities", 0x1F: "FRU Inventory Device Lock Control",
	0x20: "FRU Inventory Device Write", 0x21: "Get Shelf Manager IP Addresses", 0x22: "Get Shelf Power Allocation",
	0x29: "Get Telco Alarm Capability", 0x2A: "Set Telco Alarm State", 0x2B: "Get Telco Alarm State",
	0x2C: "Set Clock State", 0x2D: "Get Clock State", 0x2E: "Get Target Upgrade Capabilities", 0x2F: "Get Component Properties",
	0x30: "Abort Firmware Upgrade", 0x31: "Initiate Upgrade Action", 0x32: "Upload Firmware Block", 0x33: "Finish Firmware Upload",
	0x34: "Get Upgrade Status", 0x35: "Activate Firmware", 0x36: "Query Self-test Results", 0x37: "Query Rollback Status",
	0x38: "Initiate Manual Rollback", 0x3A: "Set FRU Extracted", 0x3B: "Set Channel Signaling Class", 0x3C: "Get Channel Signaling Class",
	0x3E: "Get HPM.x Capabilities",
}
