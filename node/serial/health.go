package serial

import (
	"context"
	"strings"

	"github.com/midplane-project/midplane/ipmb"
)

// Faults in Get Chassis Status (IPMI 2.0 §28.2).
const (
	statusLen = 3

	powerOn       = 0x01
	powerFaults   = 0x1E // overload, interlock, fault, control fault
	miscIntrusion = 0x01
	miscDrive     = 0x04
	miscCooling   = 0x08
)

// word is what a subsystem's state is called, briefly and in full.
type word struct{ brief, full string }

// What the chassis status tells: whether there is a fault, not how bad it is.
var (
	wordOK      = word{"ok", "OK"}
	wordFault   = word{"uf", "Unspecified fault"}
	wordUnknown = word{"??", "Unknown"}
)

func wordOf(fault bool) word {
	if fault {
		return wordFault
	}
	return wordOK
}

// textHealth tells the state of the power and of what the chassis status knows
// of; sensors are for Get Sensor Reading. -V says it in full, line by line.
func (l *line) textHealth(ctx context.Context, args []string) (string, error) {
	verbose := len(args) == 1 && args[0] == "-V"
	if len(args) > 0 && !verbose {
		return "", ipmb.ErrInvalidField
	}
	d, err := l.command(ctx, ipmb.NetFnChassis, cmdChassisStatus)
	if err != nil {
		return "", err
	}
	if len(d) < statusLen {
		return "", ipmb.ErrUnspecified
	}
	power := "OFF"
	if d[0]&powerOn != 0 {
		power = "ON"
	}
	supply, cooling := wordOf(d[0]&powerFaults != 0), wordOf(d[2]&miscCooling != 0)
	drives, security := wordOf(d[2]&miscDrive != 0), wordOf(d[2]&miscIntrusion != 0)
	all := wordOf(supply == wordFault || cooling == wordFault || drives == wordFault || security == wordFault)
	unknown := wordUnknown
	if verbose {
		return strings.Join([]string{
			"SYS Health:" + all.full, "Power:" + power, "Temperature:" + unknown.full, "Voltage:" + unknown.full,
			"PowerSystem:" + supply.full, "Cooling:" + cooling.full, "Drives:" + drives.full,
			"Security:" + security.full, "Other:" + unknown.full,
		}, newline), nil
	}
	return "PWR:" + power + " H:" + all.brief + " T:" + unknown.brief + " V:" + unknown.brief + " PS:" + supply.brief +
		" C:" + cooling.brief + " D:" + drives.brief + " S:" + security.brief + " O:" + unknown.brief, nil
}
