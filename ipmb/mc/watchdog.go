package mc

import (
	"encoding/binary"
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
)

// WatchdogUse is what a watchdog timer watches (IPMI 2.0 §27.2). Each has a
// flag of its own that tells afterwards who it was that did not come back.
type WatchdogUse uint8

// Timer uses.
const (
	WatchdogFRB2   WatchdogUse = 1 // firmware, while it looks for a processor that works
	WatchdogPOST   WatchdogUse = 2 // firmware
	WatchdogOSLoad WatchdogUse = 3
	WatchdogOS     WatchdogUse = 4 // system management software or the operating system
	WatchdogOEM    WatchdogUse = 5
)

// WatchdogInterrupt is what warns the system before its time is up (§27.4).
type WatchdogInterrupt uint8

// Pre-timeout interrupts.
const (
	WatchdogNoInterrupt WatchdogInterrupt = 0
	WatchdogSMI         WatchdogInterrupt = 1
	WatchdogNMI         WatchdogInterrupt = 2
	WatchdogMessage     WatchdogInterrupt = 3 // the message flag, with the system interface's interrupt
)

// WatchdogAction is what happens when the time is up (§27.1).
type WatchdogAction uint8

// Timeout actions. As offsets of a watchdog2 sensor they say what was done.
const (
	WatchdogNoAction   WatchdogAction = 0
	WatchdogHardReset  WatchdogAction = 1
	WatchdogPowerDown  WatchdogAction = 2
	WatchdogPowerCycle WatchdogAction = 3
)

// WatchdogWarned is the offset of a watchdog2 sensor for a pre-timeout interrupt.
const WatchdogWarned = 8

func named[T ~uint8](v T, names ...string) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("0x%02x", uint8(v))
}

func (u WatchdogUse) String() string {
	return named(u, "0x00", "BIOS FRB2", "BIOS/POST", "OS load", "SMS/OS", "OEM")
}

func (i WatchdogInterrupt) String() string { return named(i, "none", "SMI", "NMI", "message") }

func (a WatchdogAction) String() string {
	return named(a, "none", "hard reset", "power down", "power cycle")
}

// watchdogSettings is what Set Watchdog Timer leaves behind.
type watchdogSettings struct {
	use       WatchdogUse
	dontLog   bool
	interrupt WatchdogInterrupt
	action    WatchdogAction
	warning   uint8  // the pre-timeout interval: seconds before the end
	countdown uint16 // from which it counts, in 100 ms
}

// Layout of Set Watchdog Timer's data (IPMI 2.0 §27.6); the first six bytes of
// Get Watchdog Timer's (§27.7) are like it.
//
//	0   [7] don't log, [6] don't stop (Get: running), [2:0] use
//	1   [6:4] pre-timeout interrupt, [2:0] action
//	2   pre-timeout interval in seconds
//	3   expiration flags to clear (Get: those that are set), bit n for use n
//	4-5 initial countdown in 100 ms
const (
	watchdogLen       = 6
	watchdogDontLog   = 0x80
	watchdogDontStop  = 0x40
	watchdogRunning   = 0x40
	watchdogUseMask   = 0x07
	watchdogReserved0 = 0x38
	watchdogReserved1 = 0x88
	watchdogFlags     = 0x3E

	watchdogInterruptShift = 4
	watchdogActionMask     = 0x07
)

// watchdogSet is the request of Set Watchdog Timer.
type watchdogSet struct {
	watchdogSettings
	dontStop bool
	clear    byte // expiration flags
}

// parseWatchdogSet reads a request. What cannot be is CCh: among it a warning
// that would have to come before the countdown begins.
func parseWatchdogSet(b []byte) (s watchdogSet, err error) {
	if len(b) != watchdogLen {
		return s, ipmb.ErrLength
	}
	use, interrupt, action := WatchdogUse(b[0]&watchdogUseMask), WatchdogInterrupt(b[1]>>watchdogInterruptShift), WatchdogAction(b[1]&watchdogActionMask)
	warning, countdown := b[2], binary.LittleEndian.Uint16(b[4:])
	switch {
	case b[0]&watchdogReserved0 != 0, b[1]&watchdogReserved1 != 0,
		use < WatchdogFRB2, use > WatchdogOEM, interrupt > WatchdogMessage, action > WatchdogPowerCycle,
		10*uint16(warning) > countdown:
		return s, ipmb.ErrInvalidField
	}
	return watchdogSet{
		watchdogSettings: watchdogSettings{
			use: use, dontLog: b[0]&watchdogDontLog != 0, interrupt: interrupt, action: action,
			warning: warning, countdown: countdown,
		},
		dontStop: b[0]&watchdogDontStop != 0, clear: b[3] & watchdogFlags,
	}, nil
}

// append appends the six bytes. bit6 is don't stop or running, flags are those
// to clear or those that are set.
func (s watchdogSettings) append(b []byte, bit6 bool, flags byte) []byte {
	first := byte(s.use)
	if s.dontLog {
		first |= watchdogDontLog
	}
	if bit6 {
		first |= watchdogRunning
	}
	b = append(b, first, byte(s.interrupt)<<watchdogInterruptShift|byte(s.action), s.warning, flags)
	return binary.LittleEndian.AppendUint16(b, s.countdown)
}
