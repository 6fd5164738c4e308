package mc

// Bits of boot option parameters (IPMI 2.0 table 28-14).
const (
	flagValid      = 0x80 // parameter 5, byte 1
	flagPersistent = 0x40

	acknowledgeFirmware = 0x01 // parameter 4, byte 2: the firmware has not handled it yet
)

// BootFlags is boot option parameter 5: from where the system boots next, and how.
type BootFlags [5]byte

// Valid reports whether a boot goes by the flags.
func (f BootFlags) Valid() bool { return f[0]&flagValid != 0 }

// Persistent reports whether all boots go by them and not only the next.
func (f BootFlags) Persistent() bool { return f[0]&flagPersistent != 0 }

// Device is the boot device of valid flags.
func (f BootFlags) Device() BootDevice {
	if !f.Valid() {
		return BootDefault
	}
	return BootDevice(f[1] >> 2 & 0x0F)
}

// BootDevice is a device to boot from (IPMI 2.0 table 28-14, parameter 5).
type BootDevice uint8

// Boot devices.
const (
	BootDefault         BootDevice = 0x0 // no override
	BootPXE             BootDevice = 0x1
	BootDisk            BootDevice = 0x2
	BootDiskSafe        BootDevice = 0x3 // in safe mode
	BootDiagnostic      BootDevice = 0x4 // the diagnostic partition
	BootCD              BootDevice = 0x5
	BootSetup           BootDevice = 0x6 // the firmware's setup
	BootRemoteRemovable BootDevice = 0x7
	BootRemoteCD        BootDevice = 0x8
	BootRemotePrimary   BootDevice = 0x9
	BootRemoteDisk      BootDevice = 0xB
	BootRemovable       BootDevice = 0xF // floppy or another primary removable medium
)

// BootReason is why a system boots, as far as "boot flag valid bit clearing"
// (IPMI 2.0 table 28-14, parameter 3) asks: a bit there leaves the valid bit
// at a boot for that reason.
type BootReason uint8

// Reasons.
const (
	BootByCommand     BootReason = 0x00 // Chassis Control: the valid bit always goes
	BootByPowerButton BootReason = 0x01 // or a wake-up
	BootByReset       BootReason = 0x02 // the reset button, or software's own reset
	BootByWatchdog    BootReason = 0x04
	BootByPEF         BootReason = 0x10
)
