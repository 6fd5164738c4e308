package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/internal/problem"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// sensorFaults are the ways of a sensor to say what is not so, by the words of
// the command line.
var sensorFaults = []struct {
	word   string
	values []string // what stands after the word
	kind   v1.SensorFaultKind
	means  string
}{
	{"set", []string{"VALUE"}, v1.SensorFaultKind_SENSOR_FAULT_KIND_SET, "it reads a value"},
	{"ramp", []string{"FROM", "TO"}, v1.SensorFaultKind_SENSOR_FAULT_KIND_RAMP, "it goes from one value to another in the time --for"},
	{"noise", []string{"AMPLITUDE"}, v1.SensorFaultKind_SENSOR_FAULT_KIND_NOISE, "it reads as much above or below what is so, at most"},
	{"unavailable", nil, v1.SensorFaultKind_SENSOR_FAULT_KIND_UNAVAILABLE, "it does not read"},
	{"assert", []string{"OFFSET"}, v1.SensorFaultKind_SENSOR_FAULT_KIND_ASSERT, "a discrete sensor has a state"},
	{"deassert", []string{"OFFSET"}, v1.SensorFaultKind_SENSOR_FAULT_KIND_DEASSERT, "a discrete sensor does not have a state"},
}

func (a *app) faultSensorVerb() *cobra.Command {
	var lasts time.Duration
	var help strings.Builder
	for _, f := range sensorFaults {
		fmt.Fprintf(&help, "  %-18s %s\n", strings.Join(append([]string{f.word}, f.values...), " "), f.means)
	}
	cmd := &cobra.Command{
		Use:   "sensor TARGET NAME FAULT [VALUE ...]",
		Short: "Make a sensor say what is not so",
		Long: "Make a sensor say what is not so. Its thresholds and events act on that as on the\n" +
			"truth. NAME is what ipmitool sdr elist calls the sensor, or 0x and its number;\n" +
			"values are in its unit, negative ones behind --. Sensors are read every second.\n" +
			"FAULT is one of:\n\n" + help.String(),
		Example: `  midplane fault sensor blade1 "CPU Temp" ramp 40 95 --for 30s
  midplane fault sensor --for 1m -- blade1 "Inlet Temp" set -10
  midplane fault sensor blade1 0x14 assert 1`,
		Args:              cobra.MinimumNArgs(3),
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			x, err := parseSensorFault(args[1], args[2:])
			switch {
			case err != nil:
				return err
			case lasts != 0 && lasts < time.Second:
				return problem.Usagef("--for %s: want a second or more", lasts)
			case lasts == 0 && x.Kind == v1.SensorFaultKind_SENSOR_FAULT_KIND_RAMP:
				return problem.Usagef("ramp: want --for, the time from one value to the other")
			}
			return a.withNode(args[0], func(d daemon) error {
				m, err := d.node().InjectFault(cmd.Context(), &v1.InjectFaultRequest{Sensor: x, Duration: int64(lasts)})
				if err != nil {
					return d.explain(err)
				}
				return a.printFaults([]*v1.Fault{m.Fault})
			})
		},
	}
	cmd.Flags().DurationVar(&lasts, "for", 0, "how long (0: until midplane fault heal)")
	return cmd
}

// parseSensorFault reads FAULT [VALUE ...].
func parseSensorFault(sensor string, args []string) (*v1.SensorFault, error) {
	for _, f := range sensorFaults {
		if f.word != args[0] {
			continue
		}
		if len(args)-1 != len(f.values) {
			return nil, problem.Usagef("want: midplane fault sensor TARGET NAME %s", strings.Join(append([]string{f.word}, f.values...), " "))
		}
		x := &v1.SensorFault{Kind: f.kind, Sensor: sensor}
		return x, readSensorValues(x, args[0], args[1:])
	}
	return nil, problem.Usagef("%q is no fault of a sensor: midplane fault sensor --help lists them", args[0])
}

func readSensorValues(x *v1.SensorFault, word string, args []string) error {
	switch x.Kind {
	case v1.SensorFaultKind_SENSOR_FAULT_KIND_ASSERT, v1.SensorFaultKind_SENSOR_FAULT_KIND_DEASSERT:
		n, err := strconv.ParseUint(args[0], 0, 4)
		if err != nil || n > 14 {
			return problem.Usagef("%s %q: want a state's offset, 0 to 14", word, args[0])
		}
		x.Offset = uint32(n)
		return nil
	}
	for i, to := range []*float64{&x.Value, &x.To}[:len(args)] {
		v, err := strconv.ParseFloat(args[i], 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return problem.Usagef("%s %q: want a number", word, args[i])
		}
		*to = v
	}
	if x.Kind == v1.SensorFaultKind_SENSOR_FAULT_KIND_NOISE && x.Value <= 0 {
		return problem.Usagef("noise %s: want a number above 0", args[0])
	}
	return nil
}

// describeSensorFault is the fault in the words that make it.
func describeSensorFault(x *v1.SensorFault) string {
	for _, f := range sensorFaults {
		if f.kind != x.Kind {
			continue
		}
		s := f.word
		switch x.Kind {
		case v1.SensorFaultKind_SENSOR_FAULT_KIND_SET, v1.SensorFaultKind_SENSOR_FAULT_KIND_NOISE:
			s += fmt.Sprintf(" %g", x.Value)
		case v1.SensorFaultKind_SENSOR_FAULT_KIND_RAMP:
			s += fmt.Sprintf(" %g %g", x.Value, x.To)
		case v1.SensorFaultKind_SENSOR_FAULT_KIND_ASSERT, v1.SensorFaultKind_SENSOR_FAULT_KIND_DEASSERT:
			s += fmt.Sprintf(" %d", x.Offset)
		}
		return s
	}
	return ""
}
