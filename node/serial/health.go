package serial

import (
	"context"
	"strings"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// A Sensor is one with thresholds that the health is told from.
type Sensor struct {
	Kind   sel.SensorType
	LUN    ipmb.LUN
	Number uint8
}

// Faults in Get Chassis Status (IPMI 2.0 §28.2).
const (
	statusLen = 3

	powerOn       = 0x01
	powerFaults   = 0x1E // overload, interlock, fault, control fault
	miscIntrusion = 0x01
	miscDrive     = 0x04
	miscCooling   = 0x08
)

// Get Sensor Reading of a sensor with thresholds (IPMI 2.0 §35.14).
const (
	cmdSensorReading ipmb.Cmd = 0x2D

	readingLen         = 3
	readingScans       = 0x40
	readingUnavailable = 0x20

	beyondNonCritical    = 0x09 // below the lower or above the upper one
	beyondCritical       = 0x12
	beyondNonRecoverable = 0x24
)

// grade is how well something is, the worst last.
type grade uint8

const (
	unknown grade = iota
	well
	faulty // how badly is not known
	nonCritical
	critical
	nonRecoverable
)

// gradeWords are the grades briefly and in full.
var gradeWords = [...]struct{ brief, full string }{
	{"??", "Unknown"},
	{"ok", "OK"},
	{"uf", "Unspecified fault"},
	{"nc", "Non-critical"},
	{"cr", "Critical"},
	{"nr", "Non-recoverable"},
}

// subsystems are what SYS HEALTH QUERY tells of, in its order.
const (
	temperature = iota
	voltage
	supply
	cooling
	drives
	security
	other
	subsystems
)

var subsystemWords = [subsystems]struct{ brief, full string }{
	{"T", "Temperature"},
	{"V", "Voltage"},
	{"PS", "PowerSystem"},
	{"C", "Cooling"},
	{"D", "Drives"},
	{"S", "Security"},
	{"O", "Other"},
}

// textHealth tells the state of the power, and how the subsystems are by the
// chassis status and the sensors with thresholds; -V in full, line by line.
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
	grades := chassisGrades(d)
	for _, s := range l.door.cfg.Sensors {
		at := subsystemOf(s.Kind)
		grades[at] = max(grades[at], l.reading(ctx, s))
	}
	power := "OFF"
	if d[0]&powerOn != 0 {
		power = "ON"
	}
	if verbose {
		return healthInFull(power, grades), nil
	}
	return healthInBrief(power, grades), nil
}

// chassisGrades is what the chassis status tells.
func chassisGrades(d []byte) (g [subsystems]grade) {
	for at, fault := range map[int]bool{
		supply: d[0]&powerFaults != 0, cooling: d[2]&miscCooling != 0,
		drives: d[2]&miscDrive != 0, security: d[2]&miscIntrusion != 0,
	} {
		g[at] = well
		if fault {
			g[at] = faulty
		}
	}
	return g
}

func subsystemOf(k sel.SensorType) int {
	switch k {
	case sel.SensorTemperature:
		return temperature
	case sel.SensorVoltage:
		return voltage
	case sel.SensorFan:
		return cooling
	}
	return other
}

// reading grades a sensor, unknown when it has nothing to tell.
func (l *line) reading(ctx context.Context, s Sensor) grade {
	r := l.door.cfg.Handler.ServeIPMI(ctx, &ipmb.Request{
		NetFn: ipmb.NetFnSensor, LUN: s.LUN, Cmd: cmdSensorReading, Data: []byte{s.Number}, Origin: l.origin(),
	})
	d := r.Data
	switch {
	case r.Code != ipmb.OK || len(d) < readingLen || d[1]&(readingScans|readingUnavailable) != readingScans:
		return unknown
	case d[2]&beyondNonRecoverable != 0:
		return nonRecoverable
	case d[2]&beyondCritical != 0:
		return critical
	case d[2]&beyondNonCritical != 0:
		return nonCritical
	}
	return well
}

func healthInBrief(power string, grades [subsystems]grade) string {
	out := "PWR:" + power + " H:" + gradeWords[worst(grades)].brief
	for i, g := range grades {
		out += " " + subsystemWords[i].brief + ":" + gradeWords[g].brief
	}
	return out
}

func healthInFull(power string, grades [subsystems]grade) string {
	out := []string{"SYS Health:" + gradeWords[worst(grades)].full, "Power:" + power}
	for i, g := range grades {
		out = append(out, subsystemWords[i].full+":"+gradeWords[g].full)
	}
	return strings.Join(out, "\n")
}

func worst(grades [subsystems]grade) (w grade) {
	for _, g := range grades {
		w = max(w, g)
	}
	return w
}
