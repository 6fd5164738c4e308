package manager

import (
	"testing"

	"github.com/midplane-project/midplane/ipmb"
)

// The shelf manager is its own event receiver, whoever wants it otherwise.
func TestEventReceiverStays(t *testing.T) {
	r := leading(t)
	user := ipmb.Origin{Speaker: ipmb.SpeakerAPI, Door: ipmb.DoorAPI, Privilege: admin}
	ask := func(cmd ipmb.Cmd, data ...byte) ipmb.Response {
		t.Helper()
		answer, err := r.Do(t.Context(), ipmb.AddrShelfManager, &ipmb.Request{NetFn: ipmb.NetFnSensor, Cmd: cmd, Data: data, Origin: user})
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	for receiver, want := range map[[2]byte]ipmb.CompletionCode{
		{0x20, 0}: ipmb.OK, {0x82, 0}: ipmb.ErrInvalidField, {0x20, 1}: ipmb.ErrInvalidField, {0xFF, 0}: ipmb.ErrInvalidField,
	} {
		if got := ask(0x00, receiver[:]...); got.Code != want {
			t.Errorf("Set Event Receiver % x: %v, want %v", receiver, got.Code, want)
		}
		if got := ask(0x01); got.Code != ipmb.OK || string(got.Data) != "\x20\x00" {
			t.Errorf("after % x: receiver % x", receiver, got.Data)
		}
	}
}
