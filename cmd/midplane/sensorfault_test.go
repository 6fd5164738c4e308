package main

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

func TestSensorFaultVerb(t *testing.T) {
	s := newFakeShelf(t)
	n := s.node("blade1")
	until := longAgo.Format("2006-01-02T15:04:05Z07:00")
	for i, c := range []struct {
		args, line string
		want       *v1.SensorFault
	}{
		{"blade1 CPU_Temp set 99.5", "1 set 99.5 CPU_Temp 0 - -", &v1.SensorFault{Kind: 1, Sensor: "CPU_Temp", Value: 99.5}},
		{"blade1 0x20 ramp 40 95 --for 30s", "2 ramp 40 95 0x20 0 - " + until, &v1.SensorFault{Kind: 2, Sensor: "0x20", Value: 40, To: 95}},
		{"--for 1m -- blade1 T ramp -40 -95", "3 ramp -40 -95 T 0 - " + until, &v1.SensorFault{Kind: 2, Sensor: "T", Value: -40, To: -95}},
		{"blade1 T noise 0.5", "4 noise 0.5 T 0 - -", &v1.SensorFault{Kind: 3, Sensor: "T", Value: 0.5}},
		{"blade1 T unavailable", "5 unavailable T 0 - -", &v1.SensorFault{Kind: 4, Sensor: "T"}},
		{"blade1 T assert 3", "6 assert 3 T 0 - -", &v1.SensorFault{Kind: 5, Sensor: "T", Offset: 3}},
		{"blade1 T deassert 0xe", "7 deassert 14 T 0 - -", &v1.SensorFault{Kind: 6, Sensor: "T", Offset: 14}},
	} {
		got := s.run(append([]string{"fault", "sensor"}, strings.Fields(c.args)...)...)
		if got.code != 0 || len(n.faults) != i+1 || !proto.Equal(n.faults[i].Sensor, c.want) || n.faults[i].Bmc != nil {
			t.Fatalf("%s: %+v, %v", c.args, got, n.faults)
		}
		lines := strings.Split(strings.TrimSpace(s.run("fault", "ls", "blade1").out), "\n")
		if got := strings.Join(strings.Fields(lines[len(lines)-1]), " "); len(lines) != i+2 || got != c.line {
			t.Errorf("%s: listed as %q, want %q", c.args, got, c.line)
		}
	}
	if got := s.run("fault", "ls", "blade1", "-o", "json"); !strings.Contains(got.out, `"sensor": "CPU_Temp"`) {
		t.Errorf("%+v", got)
	}
	if got := s.run("fault", "heal", "blade1", "2"); got.code != 0 || len(n.faults) != 6 {
		t.Errorf("%+v, %d left", got, len(n.faults))
	}
}

func TestSensorFaultMistakes(t *testing.T) {
	s := newFakeShelf(t)
	n := s.node("blade1")
	for i, args := range []string{
		"T sulk", "T set", "T set hot", "T set 1 2", "T set NaN", "T ramp 1 --for 3s", "T ramp 1 2", "T noise 0", "T noise -1", "T unavailable 3",
		"T assert", "T assert 15", "T deassert x", "T set 3 --for 10ms", "T set 3 --for -1s", "set 3",
	} {
		got := s.run(append([]string{"fault", "sensor", "blade1"}, strings.Fields(args)...)...)
		if got.code != 2 || got.err == "" || len(n.faults) != 0 {
			t.Errorf("%d %s: %+v, %v", i, args, got, n.faults)
		}
	}
	if got := s.run("fault", "sensor", "nobody", "T", "set", "3"); got.code == 0 || got.err == "" {
		t.Errorf("%+v", got)
	}
}
