package api

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/midplane-project/midplane/node/vm"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// The protocol's kinds are the door's, number by number.
func TestFaultKinds(t *testing.T) {
	words := strings.NewReplacer("code", "cc", "attention", "attn", "_", "-")
	for n, name := range v1.BMCFaultKind_name {
		want := words.Replace(strings.ToLower(strings.TrimPrefix(name, "BMC_FAULT_KIND_")))
		if got := vm.FaultKind(n).String(); n != 0 && got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if next := vm.FaultKind(len(v1.BMCFaultKind_name)); !strings.HasPrefix(next.String(), "fault(") {
		t.Errorf("the protocol lacks %s", next)
	}
}

func TestFaultThereAndBack(t *testing.T) {
	until := time.Unix(0, 12345)
	for name, b := range map[string]*v1.BMCFault{
		"delay": {Kind: v1.BMCFaultKind_BMC_FAULT_KIND_DELAY, Delay: int64(time.Second), Count: 3},
		"code":  {Kind: v1.BMCFaultKind_BMC_FAULT_KIND_CODE, CompletionCode: 0xC0, Match: &v1.RequestMatch{NetFn: 0x0A, Command: 0x44}},
		"cut":   {Kind: v1.BMCFaultKind_BMC_FAULT_KIND_TRUNCATE, Keep: 7},
	} {
		f, err := doorFault(&v1.InjectFaultRequest{Bmc: b, Duration: int64(time.Minute)})
		if err != nil || f.For != time.Minute {
			t.Fatalf("%s: %+v, %v", name, f, err)
		}
		got := wireFault(vm.ActiveFault{ID: 4, Fault: f, Until: until, Hits: 2})
		want := &v1.Fault{Id: 4, Bmc: b, Until: until.UnixNano(), Hits: 2}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func TestFaultsThatDoNotFit(t *testing.T) {
	for name, b := range map[string]*v1.BMCFault{
		"none":    nil,
		"code":    {Kind: v1.BMCFaultKind_BMC_FAULT_KIND_CODE, CompletionCode: 0x100},
		"netFn":   {Match: &v1.RequestMatch{NetFn: 0x40}},
		"command": {Match: &v1.RequestMatch{Command: 0x100}},
		"count":   {Count: math.MaxUint32},
		"kind":    {Kind: 256 + v1.BMCFaultKind(vm.FaultDrop)},
	} {
		if f, err := doorFault(&v1.InjectFaultRequest{Bmc: b}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}
