package main

import "github.com/midplane-project/midplane/ipmb"

// conformance is one command of IPMI 2.0 and what shows that it is real: tests
// that read back what it did, or see a read follow a change. A completion code
// alone shows nothing.
type conformance struct {
	id    string         // NetFn/Cmd
	name  string         // the specification's
	least ipmb.Privilege // IPMI 2.0 appendix G
	node  string         // tests of a node, as package.Test; empty: not served
	shelf string         // the same of the shelf manager at 0x20
	why   string         // a node does not serve it
}

const (
	none     = ipmb.PrivilegeNone
	callback = ipmb.PrivilegeCallback
	user     = ipmb.PrivilegeUser
	operator = ipmb.PrivilegeOperator
	admin    = ipmb.PrivilegeAdmin
)

// Why a command is answered with C1h.
const (
	noOEM      = "optional; there are no OEM payloads"
	noModem    = "for modems, paging, PPP, or a port that is shared with the system: no serial channel has them"
	noChannels = "optional; every channel there is receives always"
	noLANCode  = "for IPMI 1.5 sessions without RMCP+, and none of theirs needs it"
	off15      = "there where IPMI 1.5 sessions are switched on, which they are not by default"
	noForward  = "optional, and for controllers with a second network interface"
	byQEMU     = "answered by QEMU's device, which is the interface's hardware"
)

// The commands of IPMI 2.0 that have a meaning for a server, and those of
// serial and modem channels.
var conformances = []conformance{
	{"00/00", "Get Chassis Capabilities", user, "node.TestChassisIsKept", "shelf/manager.TestBytes", ""},
	{"00/01", "Get Chassis Status", user, "node.TestChassisStatus", "shelf/manager.TestChassisStatus", ""},
	{"00/02", "Chassis Control", operator, "node.TestRestartCause node.TestOwnPower", "shelf/manager.TestChassisControl", ""},
	{"00/03", "Chassis Reset", operator, "node.TestRestartCause", "", ""},
	{"00/04", "Chassis Identify", operator, "node.TestIdentify", "shelf/manager.TestBytes", ""},
	{"00/05", "Set Chassis Capabilities", admin, "node.TestChassisIsKept", "", ""},
	{"00/06", "Set Power Restore Policy", operator, "node.TestRestorePolicy", "", ""},
	{"00/07", "Get System Restart Cause", user, "node.TestRestartCause", "", ""},
	{"00/08", "Set System Boot Options", operator, "node.TestBootOnce node.TestBootFlagsExpire ipmb/mc.TestBootOptionsAreKept", "", ""},
	{"00/09", "Get System Boot Options", operator, "node.TestBootOnce ipmb/mc.TestBootParameters", "", ""},
	{"00/0A", "Set Front Panel Button Enables", admin, "node.TestFrontPanel", "", ""},
	{"00/0B", "Set Power Cycle Interval", admin, "node.TestCycleInterval", "", ""},
	{"00/0F", "Get POH Counter", user, "node.TestPowerOnHours", "", ""},

	{"04/00", "Set Event Receiver", admin, "node.TestEventPaths node.TestSettingsAreKept", "shelf/manager.TestEventReceiverStays", ""},
	{"04/01", "Get Event Receiver", user, "node.TestSettingsAreKept", "shelf/manager.TestEventReceiverStays", ""},
	{"04/02", "Platform Event", operator, "node.TestEventPaths", "shelf/manager.TestBytes", ""},
	{"04/10", "Get PEF Capabilities", user, "ipmb/mc/pef.TestParams", "", ""},
	{"04/11", "Arm PEF Postpone Timer", admin, "ipmb/mc/pef.TestPostponed node.TestFiltersAreKept", "", ""},
	{"04/12", "Set PEF Configuration Parameters", admin, "node.TestFilteredEvents ipmb/mc/pef.TestParamsAreKept", "", ""},
	{"04/13", "Get PEF Configuration Parameters", operator, "ipmb/mc/pef.TestParams", "", ""},
	{"04/14", "Set Last Processed Event ID", admin, "ipmb/mc/pef.TestSetProcessed", "", ""},
	{"04/15", "Get Last Processed Event ID", admin, "node.TestFiltersAreKept", "", ""},
	{"04/16", "Alert Immediate", admin, "ipmb/mc/pef.TestAlertImmediate", "", ""},
	{"04/17", "PET Acknowledge", none, "ipmb/mc/pef.TestAcknowledge", "", ""},
	{"04/20", "Get Device SDR Info", user, "ipmb/mc.TestReadsFollowTheRecords", "", ""},
	{"04/21", "Get Device SDR", user, "node.TestSensorRecords", "", ""},
	{"04/22", "Reserve Device SDR Repository", user, "ipmb/mc.TestReadsFollowTheRecords", "", ""},
	{"04/23", "Get Sensor Reading Factors", user, "ipmb/mc.TestReadsFollowTheRecords", "shelf/manager.TestBytes", ""},
	{"04/24", "Set Sensor Hysteresis", operator, "ipmb/mc.TestThresholdCommands", "", ""},
	{"04/25", "Get Sensor Hysteresis", user, "ipmb/mc.TestSensorSettingsAreKept", "shelf/manager.TestBytes", ""},
	{"04/26", "Set Sensor Thresholds", operator, "ipmb/mc.TestThresholdCommands", "", ""},
	{"04/27", "Get Sensor Thresholds", user, "ipmb/mc.TestSensorSettingsAreKept", "shelf/manager.TestBytes", ""},
	{"04/28", "Set Sensor Event Enable", operator, "ipmb/mc.TestEventEnable node.TestSensorSettingsSurvive", "", ""},
	{"04/29", "Get Sensor Event Enable", user, "node.TestSensorSettingsSurvive", "shelf/manager.TestBytes", ""},
	{"04/2A", "Re-arm Sensor Events", operator, "ipmb/mc.TestRearm", "", ""},
	{"04/2B", "Get Sensor Event Status", user, "ipmb/mc.TestDiscreteSensor", "shelf/manager.TestBytes", ""},
	{"04/2D", "Get Sensor Reading", user, "node.TestVMSensors ipmb/mc.TestThresholdSensor", "shelf/manager.TestReplicasSensor", ""},
	{"04/2E", "Set Sensor Type", operator, "ipmb/mc.TestDiscreteSensor", "", ""},
	{"04/2F", "Get Sensor Type", user, "ipmb/mc.TestSensorSettingsAreKept", "shelf/manager.TestBytes", ""},
	{"04/30", "Set Sensor Reading And Event Status", operator, "ipmb/mc.TestSetReading", "", ""},

	{"06/01", "Get Device ID", user, "node.TestIdentityFollows", "shelf/manager.TestBytes", ""},
	{"06/02", "Cold Reset", admin, "node.TestColdReset", "", ""},
	{"06/03", "Warm Reset", admin, "node.TestWarmReset", "", ""},
	{"06/04", "Get Self Test Results", user, "node.TestSELCorrupt", "shelf/manager.TestBytes", ""},
	{"06/05", "Manufacturing Test On", admin, "node.TestManufacturingTest", "", ""},
	{"06/06", "Set ACPI Power State", admin, "node.TestACPIPowerState node.TestACPIStateSaid", "", ""},
	{"06/07", "Get ACPI Power State", user, "node.TestACPIPowerState", "", ""},
	{"06/08", "Get Device GUID", user, "node.TestIdentityFollows", "shelf/manager.TestBytes", ""},
	{"06/09", "Get NetFn Support", user, "ipmb/mc.TestFirewallFollowsTheRows", "", ""},
	{"06/0A", "Get Command Support", user, "ipmb/mc.TestFirewallFollowsTheRows", "", ""},
	{"06/0B", "Get Command Sub-function Support", user, "ipmb/mc.TestFirewallFollowsTheRows", "", ""},
	{"06/0C", "Get Configurable Commands", user, "ipmb/mc.TestFirewallFollowsTheRows", "", ""},
	{"06/0D", "Get Configurable Command Sub-functions", user, "ipmb/mc.TestFirewallFollowsTheRows", "", ""},
	{"06/22", "Reset Watchdog Timer", operator, "node.TestWatchdogIsKept ipmb/mc.TestWatchdogCommands", "", ""},
	{"06/24", "Set Watchdog Timer", operator, "node.TestWatchdogActs ipmb/mc.TestWatchdogCommands", "", ""},
	{"06/25", "Get Watchdog Timer", user, "node.TestWatchdogIsKept ipmb/mc.TestWatchdogCommands", "", ""},
	{"06/2E", "Set BMC Global Enables", user, "node.TestLines node.TestSettingsAreKept", "", ""},
	{"06/2F", "Get BMC Global Enables", user, "node.TestSettingsAreKept", "", ""},
	{"06/30", "Clear Message Flags", user, "node.TestLines", "", ""},
	{"06/31", "Get Message Flags", user, "node.TestLines", "", ""},
	{"06/32", "Enable Message Channel Receive", user, "", "", noChannels},
	{"06/33", "Get Message", user, "node.TestMessageBeingFetched", "", ""},
	{"06/34", "Send Message", user, "node.TestAskOther node.TestNested", "shelf/manager.TestBridge", ""},
	{"06/35", "Read Event Message Buffer", user, "node.TestEventBuffer", "", ""},
	{"06/36", "Get BT Interface Capabilities", user, "", "", byQEMU},
	{"06/37", "Get System GUID", none, "node.TestIdentityFollows", "shelf/manager.TestBytes", ""},
	{"06/38", "Get Channel Authentication Capabilities", none, "ipmb/rmcp.TestCapabilities", "shelf/manager.TestAccess", ""},
	{"06/39", "Get Session Challenge", none, "", "", off15},
	{"06/3A", "Activate Session", none, "", "", off15},
	{"06/3B", "Set Session Privilege Level", user, "ipmb/rmcp.TestPrivilegeLevels", "shelf/manager.TestSessionsAreReplicated", ""},
	{"06/3C", "Close Session", callback, "ipmb/rmcp.TestCloseSession", "shelf/manager.TestSessionsAreReplicated", ""},
	{"06/3D", "Get Session Info", user, "ipmb/rmcp.TestSessionInfo", "shelf/manager.TestSessionsAreReplicated", ""},
	{"06/3F", "Get AuthCode", operator, "", "", noLANCode},
	{"06/40", "Set Channel Access", admin, "ipmb/mc.TestChannelAccess node.TestAccessIsKept", "shelf/manager.TestAccess", ""},
	{"06/41", "Get Channel Access", user, "ipmb/mc.TestChannelAccess", "shelf/manager.TestAccess", ""},
	{"06/42", "Get Channel Info", user, "ipmb/mc.TestChannels", "shelf/manager.TestBytes", ""},
	{"06/43", "Set User Access", admin, "ipmb/mc.TestUsers ipmb/mc.TestAccounts", "shelf/manager.TestAccess", ""},
	{"06/44", "Get User Access", operator, "ipmb/mc.TestUsers", "shelf/manager.TestAccess", ""},
	{"06/45", "Set User Name", admin, "ipmb/mc.TestUsers ipmb/mc.TestAccounts", "shelf/manager.TestAccess", ""},
	{"06/46", "Get User Name", operator, "ipmb/mc.TestUsers", "shelf/manager.TestAccess", ""},
	{"06/47", "Set User Password", admin, "ipmb/mc.TestUsers ipmb/mc.TestAccounts", "shelf/manager.TestAccess", ""},
	{"06/48", "Activate Payload", user, "ipmb/rmcp.TestSOLSession ipmb/rmcp.TestSOLRefusals", "shelf/manager.TestConsoles", ""},
	{"06/49", "Deactivate Payload", user, "ipmb/rmcp.TestSOLEnds", "shelf/manager.TestConsoles", ""},
	{"06/4A", "Get Payload Activation Status", user, "ipmb/rmcp.TestSOLSession", "shelf/manager.TestConsoles", ""},
	{"06/4B", "Get Payload Instance Info", user, "ipmb/rmcp.TestSOLSession", "shelf/manager.TestConsoles", ""},
	{"06/4C", "Set User Payload Access", admin, "ipmb/mc.TestUsers node.TestAccessIsKept", "shelf/manager.TestAccess", ""},
	{"06/4D", "Get User Payload Access", operator, "ipmb/mc.TestUsers", "shelf/manager.TestAccess", ""},
	{"06/4E", "Get Channel Payload Support", user, "ipmb/rmcp.TestSOLRefusals", "shelf/manager.TestConsoles", ""},
	{"06/4F", "Get Channel Payload Version", user, "ipmb/rmcp.TestSOLRefusals", "shelf/manager.TestConsoles", ""},
	{"06/50", "Get Channel OEM Payload Info", user, "", "", noOEM},
	{"06/52", "Master Write-Read", operator, "ipmb/mc.TestMasterWriteRead node.TestFRUIsKept", "", ""},
	{"06/54", "Get Channel Cipher Suites", none, "ipmb/mc.TestCipherSuites", "shelf/manager.TestBytes", ""},
	{"06/55", "Suspend/Resume Payload Encryption", user, "ipmb/rmcp.TestSOLSession", "shelf/manager.TestConsoles", ""},
	{"06/56", "Set Channel Security Keys", admin, "ipmb/mc.TestChannelKeys", "shelf/manager.TestAccess", ""},
	{"06/57", "Get System Interface Capabilities", user, "", "", "the capabilities of SSIF are a part to come"},
	{"06/58", "Set System Info Parameters", admin, "ipmb/mc.TestSystemInfo node.TestResetsOfTheVM", "", ""},
	{"06/59", "Get System Info Parameters", user, "ipmb/mc.TestSystemInfo", "", ""},
	{"06/60", "Set Command Enables", admin, "ipmb/mc.TestFirewallDisables", "", ""},
	{"06/61", "Get Command Enables", user, "ipmb/mc.TestFirewallDisables", "", ""},
	{"06/62", "Set Command Sub-function Enables", admin, "ipmb/mc.TestFirewallDisables", "", ""},
	{"06/63", "Get Command Sub-function Enables", user, "ipmb/mc.TestFirewallDisables", "", ""},
	{"06/64", "Get OEM NetFn IANA Support", user, "ipmb/mc.TestFirewallFollowsTheRows", "", ""},

	{"0A/10", "Get FRU Inventory Area Info", user, "ipmb/mc.TestFRUsAreKept", "shelf/manager.TestBytes", ""},
	{"0A/11", "Read FRU Data", user, "node.TestFRUIsKept", "shelf/manager.TestShelfFRU", ""},
	{"0A/12", "Write FRU Data", operator, "node.TestFRUIsKept", "shelf/manager.TestShelfFRUIsReplicated", ""},
	{"0A/20", "Get SDR Repository Info", user, "ipmb/mc.TestSDRRepositoryWritten", "shelf/manager.TestRepositoryIsTheUnion", ""},
	{"0A/21", "Get SDR Repository Allocation Info", user, "ipmb/mc.TestSDRRepositoryWritten", "shelf/manager.TestBytes", ""},
	{"0A/22", "Reserve SDR Repository", user, "ipmb/mc.TestSDRRepositoryWritten", "shelf/manager.TestBytes", ""},
	{"0A/23", "Get SDR", user, "node.TestRepositoriesAreKept", "shelf/manager.TestRepositoryIsTheUnion", ""},
	{"0A/24", "Add SDR", operator, "node.TestRepositoriesAreKept", "", ""},
	{"0A/25", "Partial Add SDR", operator, "ipmb/mc.TestSDRRepositoryWritten", "", ""},
	{"0A/26", "Delete SDR", operator, "ipmb/mc.TestSDRRepositoryWritten", "", ""},
	{"0A/27", "Clear SDR Repository", operator, "ipmb/mc.TestSDRRepositoryWritten", "", ""},
	{"0A/28", "Get SDR Repository Time", user, "node.TestRepositoriesAreKept", "", ""},
	{"0A/29", "Set SDR Repository Time", operator, "node.TestRepositoriesAreKept", "", ""},
	{"0A/2A", "Enter SDR Repository Update Mode", operator, "ipmb/mc.TestSDRUpdateMode", "", ""},
	{"0A/2B", "Exit SDR Repository Update Mode", operator, "ipmb/mc.TestSDRUpdateMode", "", ""},
	{"0A/2C", "Run Initialization Agent", operator, "ipmb/mc.TestSDRInitializationAgent", "", ""},
	{"0A/40", "Get SEL Info", user, "node.TestSELSpace", "shelf/manager.TestBytes", ""},
	{"0A/41", "Get SEL Allocation Info", user, "node.TestSELSpace", "shelf/manager.TestBytes", ""},
	{"0A/42", "Reserve SEL", user, "node.TestSELSpace", "shelf/manager.TestBytes", ""},
	{"0A/43", "Get SEL Entry", user, "node.TestRepositoriesAreKept", "shelf/manager.TestBytes", ""},
	{"0A/44", "Add SEL Entry", operator, "node.TestRepositoriesAreKept node.TestFullLogRefuses", "shelf/manager.TestOnceAcrossLeaders", ""},
	{"0A/45", "Partial Add SEL Entry", operator, "ipmb/mc.TestSELDeviceCommands", "", ""},
	{"0A/46", "Delete SEL Entry", operator, "node.TestSELSpace", "shelf/manager.TestBytes", ""},
	{"0A/47", "Clear SEL", operator, "node.TestSELSpace", "shelf/manager.TestBytes", ""},
	{"0A/48", "Get SEL Time", user, "node.TestRepositoriesAreKept", "shelf/manager.TestBytes", ""},
	{"0A/49", "Set SEL Time", operator, "node.TestRepositoriesAreKept node.TestClockSync", "shelf/manager.TestBytes", ""},
	{"0A/5A", "Get Auxiliary Log Status", user, "node.TestRepositoriesAreKept", "", ""},
	{"0A/5B", "Set Auxiliary Log Status", operator, "node.TestRepositoriesAreKept", "", ""},
	{"0A/5C", "Get SEL Time UTC Offset", user, "node.TestRepositoriesAreKept", "", ""},
	{"0A/5D", "Set SEL Time UTC Offset", operator, "node.TestRepositoriesAreKept", "", ""},

	{"0C/01", "Set LAN Configuration Parameters", admin, "ipmb/mc.TestLANParameters node.TestAccessIsKept", "shelf/manager.TestAccess", ""},
	{"0C/02", "Get LAN Configuration Parameters", operator, "ipmb/mc.TestLANParameters", "shelf/manager.TestAccess", ""},
	{"0C/03", "Suspend BMC ARPs", operator, "ipmb/mc.TestLANCommands", "shelf/manager.TestAccess", ""},
	{"0C/04", "Get IP/UDP/RMCP Statistics", user, "ipmb/mc.TestLANCommands", "shelf/manager.TestAccess", ""},
	{"0C/10", "Set Serial/Modem Configuration", admin, "ipmb/mc.TestSerialParameters node.TestSerialParameters", "", ""},
	{"0C/11", "Get Serial/Modem Configuration", operator, "ipmb/mc.TestSerialParameters", "", ""},
	{"0C/12", "Set Serial/Modem Mux", operator, "", "", noModem},
	{"0C/13", "Get TAP Response Codes", user, "", "", noModem},
	{"0C/14", "Set PPP UDP Proxy Transmit Data", user, "", "", noModem},
	{"0C/15", "Get PPP UDP Proxy Transmit Data", user, "", "", noModem},
	{"0C/16", "Send PPP UDP Proxy Packet", user, "", "", noModem},
	{"0C/17", "Get PPP UDP Proxy Receive Data", user, "", "", noModem},
	{"0C/18", "Serial/Modem Connection Active", none, "", "", noModem},
	{"0C/19", "Callback", admin, "", "", noModem},
	{"0C/1A", "Set User Callback Options", admin, "", "", noModem},
	{"0C/1B", "Get User Callback Options", user, "", "", noModem},
	{"0C/1C", "Set Serial Routing Mux", admin, "", "", noModem},
	{"0C/20", "SOL Activating", none, "", "", noModem},
	{"0C/21", "Set SOL Configuration Parameters", admin, "ipmb/mc.TestSOLParameters node.TestAccessIsKept", "shelf/manager.TestAccess", ""},
	{"0C/22", "Get SOL Configuration Parameters", user, "ipmb/mc.TestSOLParameters", "shelf/manager.TestAccess", ""},
	{"0C/30", "Forwarded Command", admin, "", "", noForward},
	{"0C/31", "Set Forwarded Commands", admin, "", "", noForward},
	{"0C/32", "Get Forwarded Commands", admin, "", "", noForward},
	{"0C/33", "Enable Forwarded Commands", admin, "", "", noForward},
}
