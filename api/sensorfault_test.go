package api

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/midplane-project/midplane/node"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// The protocol's kinds are the node's, number by number.
func TestSensorFaultKinds(t *testing.T) {
	for n, name := range v1.SensorFaultKind_name {
		want := strings.ToLower(strings.TrimPrefix(name, "SENSOR_FAULT_KIND_"))
		if got := node.SensorFaultKind(n).String(); n != 0 && got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if next := node.SensorFaultKind(len(v1.SensorFaultKind_name)); !strings.HasPrefix(next.String(), "sensor fault(") {
		t.Errorf("the protocol lacks %s", next)
	}
}

func TestSensorFaultThereAndBack(t *testing.T) {
	until := time.Unix(0, 12345)
	for name, x := range map[string]*v1.SensorFault{
		"ramp":   {Kind: v1.SensorFaultKind_SENSOR_FAULT_KIND_RAMP, Sensor: "CPU Temp", Value: 40, To: 95},
		"assert": {Kind: v1.SensorFaultKind_SENSOR_FAULT_KIND_ASSERT, Sensor: "0x14", Offset: 1},
	} {
		f, err := sensorFault(&v1.InjectFaultRequest{Sensor: x, Duration: int64(time.Minute)})
		if err != nil || f.For != time.Minute {
			t.Fatalf("%s: %+v, %v", name, f, err)
		}
		got := wireSensorFault(node.ActiveSensorFault{ID: 4, SensorFault: f, Until: until, Hits: 2})
		want := &v1.Fault{Id: 4, Sensor: x, Until: until.UnixNano(), Hits: 2}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func TestSensorFaultsThatDoNotFit(t *testing.T) {
	for name, r := range map[string]*v1.InjectFaultRequest{
		"two":    {Bmc: &v1.BMCFault{}, Sensor: &v1.SensorFault{}},
		"offset": {Sensor: &v1.SensorFault{Offset: 0x100}},
		"kind":   {Sensor: &v1.SensorFault{Kind: 256 + v1.SensorFaultKind(node.SensorSet)}},
	} {
		if f, err := sensorFault(r); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}
