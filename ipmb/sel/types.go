package sel

import "fmt"

// EventType is an event/reading type code, 7 bits (IPMI 2.0 table 42-1).
type EventType uint8

// Event types. 02h–0Ch are generic discrete, 70h–7Fh OEM.
const (
	EventThreshold EventType = 0x01
	EventSensor    EventType = 0x6F // the offsets are the sensor type's own
	EventOEM       EventType = 0x70
	EventMax       EventType = 0x7F
)

// SensorType is a sensor type code (IPMI 2.0 table 42-3; F0h and up PICMG 3.0,
// as ipmitool's ipmi_sel.h has them).
type SensorType uint8

// Sensor types that controllers of a shelf have.
const (
	SensorTemperature   SensorType = 0x01
	SensorVoltage       SensorType = 0x02
	SensorCurrent       SensorType = 0x03
	SensorFan           SensorType = 0x04
	SensorProcessor     SensorType = 0x07
	SensorPowerSupply   SensorType = 0x08
	SensorPowerUnit     SensorType = 0x09
	SensorMemory        SensorType = 0x0C
	SensorEventLogging  SensorType = 0x10
	SensorSystemEvent   SensorType = 0x12
	SensorButton        SensorType = 0x14
	SensorOSBoot        SensorType = 0x1F
	SensorOSStop        SensorType = 0x20
	SensorACPIPower     SensorType = 0x22
	SensorWatchdog      SensorType = 0x23
	SensorHealth        SensorType = 0x28
	SensorVersionChange SensorType = 0x2B
	SensorFRUState      SensorType = 0x2C
	SensorOEM           SensorType = 0xC0
	SensorHotSwap       SensorType = 0xF0
	SensorIPMBLink      SensorType = 0xF1
	SensorModuleHotSwap SensorType = 0xF2
)

var sensorNames = map[SensorType]string{
	0x01: "Temperature", 0x02: "Voltage", 0x03: "Current", 0x04: "Fan", 0x05: "Chassis Security",
	0x06: "Platform Security", 0x07: "Processor", 0x08: "Power Supply", 0x09: "Power Unit", 0x0A: "Cooling Device",
	0x0B: "Other Units", 0x0C: "Memory", 0x0D: "Drive Slot", 0x0E: "POST Memory Resize", 0x0F: "System Firmware Progress",
	0x10: "Event Logging", 0x11: "Watchdog 1", 0x12: "System Event", 0x13: "Critical Interrupt", 0x14: "Button",
	0x15: "Module", 0x16: "Microcontroller", 0x17: "Add-in Card", 0x18: "Chassis", 0x19: "Chip Set", 0x1A: "Other FRU",
	0x1B: "Cable", 0x1C: "Terminator", 0x1D: "System Boot Initiated", 0x1E: "Boot Error", 0x1F: "OS Boot",
	0x20: "OS Stop", 0x21: "Slot", 0x22: "System ACPI Power State", 0x23: "Watchdog 2", 0x24: "Platform Alert",
	0x25: "Entity Presence", 0x26: "Monitor ASIC", 0x27: "LAN", 0x28: "Management Subsystem Health", 0x29: "Battery",
	0x2A: "Session Audit", 0x2B: "Version Change", 0x2C: "FRU State",
	0xF0: "Hot Swap", 0xF1: "IPMB Link", 0xF2: "Module Hot Swap", 0xF3: "Power Channel", 0xF4: "Telco Alarm Input",
}

func (s SensorType) String() string {
	if n, ok := sensorNames[s]; ok {
		return n
	}
	if s >= SensorOEM {
		return fmt.Sprintf("OEM sensor type 0x%02x", uint8(s))
	}
	return fmt.Sprintf("Sensor type 0x%02x", uint8(s))
}

// genericOffsets are the states of the generic event types.
var genericOffsets = map[EventType][]string{
	EventThreshold: {
		"Lower Non-critical going low", "Lower Non-critical going high",
		"Lower Critical going low", "Lower Critical going high",
		"Lower Non-recoverable going low", "Lower Non-recoverable going high",
		"Upper Non-critical going low", "Upper Non-critical going high",
		"Upper Critical going low", "Upper Critical going high",
		"Upper Non-recoverable going low", "Upper Non-recoverable going high",
	},
	0x02: {"Idle", "Active", "Busy"},
	0x03: {"State Deasserted", "State Asserted"},
	0x04: {"Predictive Failure Deasserted", "Predictive Failure Asserted"},
	0x05: {"Limit Not Exceeded", "Limit Exceeded"},
	0x06: {"Performance Met", "Performance Lags"},
	0x07: {
		"OK", "Non-critical from OK", "Critical from less severe", "Non-recoverable from less severe",
		"Non-critical from more severe", "Critical from Non-recoverable", "Non-recoverable", "Monitor", "Informational",
	},
	0x08: {"Absent", "Present"},
	0x09: {"Disabled", "Enabled"},
	0x0A: {"Running", "In Test", "Power Off", "On Line", "Off Line", "Off Duty", "Degraded", "Power Save", "Install Error"},
	0x0B: {
		"Fully Redundant", "Redundancy Lost", "Redundancy Degraded", "Non-redundant: Sufficient from Redundant",
		"Non-redundant: Sufficient from Insufficient", "Non-redundant: Insufficient",
	},
	0x0C: {"D0 Power State", "D1 Power State", "D2 Power State", "D3 Power State"},
}

// sensorOffsets are the states of sensor types with states of their own, as
// far as controllers and guests of a shelf report them.
var sensorOffsets = map[SensorType][]string{
	0x07: {"IERR", "Thermal Trip", "FRB1/BIST failure", "FRB2/Hang in POST", "FRB3/Processor startup failure", "Configuration Error", "Uncorrectable machine check", "Presence detected", "Disabled", "Terminator presence detected", "Throttled"},
	0x08: {"Presence detected", "Failure detected", "Predictive failure", "Power Supply AC lost", "AC lost or out-of-range", "AC out-of-range, but present", "Config Error"},
	0x09: {"Power off/down", "Power cycle", "240VA power down", "Interlock power down", "AC lost", "Soft-power control failure", "Failure detected", "Predictive failure"},
	0x0C: {"Correctable ECC", "Uncorrectable ECC", "Parity", "Memory Scrub Failed", "Memory Device Disabled", "Correctable ECC logging limit reached", "Presence Detected", "Configuration Error", "Spare", "Throttled", "Critical Overtemperature"},
	0x10: {"Correctable memory error logging disabled", "Event logging disabled", "Log area reset/cleared", "All event logging disabled", "Log full", "Log almost full"},
	0x12: {"System Reconfigured", "OEM System boot event", "Undetermined system hardware failure", "Entry added to auxiliary log", "PEF Action", "Timestamp Clock Sync"},
	0x13: {"Front Panel NMI", "Bus Timeout", "I/O Channel check NMI", "Software NMI", "PCI PERR", "PCI SERR", "EISA failsafe timeout", "Bus Correctable error", "Bus Uncorrectable error", "Fatal NMI", "Bus Fatal Error", "Bus Degraded"},
	0x14: {"Power Button pressed", "Sleep Button pressed", "Reset Button pressed", "FRU Latch", "FRU Service"},
	0x1D: {"Initiated by power up", "Initiated by hard reset", "Initiated by warm reset", "User requested PXE boot", "Automatic boot to diagnostic"},
	0x1F: {"A: boot completed", "C: boot completed", "PXE boot completed", "Diagnostic boot completed", "CD-ROM boot completed", "ROM boot completed", "boot completed - device not specified"},
	0x20: {"Critical stop during OS load", "Run-time critical stop", "OS graceful stop", "OS graceful shutdown", "PEF initiated soft shutdown", "Agent not responding"},
	0x22: {"S0/G0: working", "S1", "S2", "S3", "S4: suspend to disk", "S5/G2: soft-off", "S4/S5: soft-off", "G3: mechanical off", "Sleeping in S1/S2/S3", "G1: sleeping", "S5: entered by override", "Legacy ON state", "Legacy OFF state"},
	0x23: {"Timer expired", "Hard reset", "Power down", "Power cycle", "", "", "", "", "Timer interrupt"},
	0x25: {"Present", "Absent", "Disabled"},
	0x28: {"Sensor access degraded or unavailable", "Controller access degraded or unavailable", "Management controller off-line", "Management controller unavailable", "Sensor failure", "FRU failure"},
	0x2B: {"Hardware change detected", "Firmware or software change detected", "Hardware incompatibility detected", "Firmware or software incompatibility detected", "Invalid or unsupported hardware version", "Invalid or unsupported firmware or software version", "Hardware change success", "Firmware or software change success"},
	0xF1: {"IPMB-A disabled, IPMB-B disabled", "IPMB-A enabled, IPMB-B disabled", "IPMB-A disabled, IPMB-B enabled", "IPMB-A enabled, IPMB-B enabled"},
	0xF2: {"Handle Closed", "Handle Opened", "Quiesced", "Backend Power Failure", "Backend Power Shutdown"},
}
