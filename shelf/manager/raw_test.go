package manager

import (
	"testing"

	"github.com/midplane-project/midplane/ipmb"
)

// A user's request at 0x20 is confirmed by the quorum as a node's is: a leader
// that was deposed and does not know it yet must not answer from its old state.
func TestRawIsConfirmed(t *testing.T) {
	r := leading(t)
	ask := func() error {
		req := &ipmb.Request{NetFn: ipmb.NetFnStorage, Cmd: 0x40, Origin: ipmb.Origin{Speaker: ipmb.SpeakerAPI, Door: ipmb.DoorAPI, Privilege: ipmb.PrivilegeAdmin}}
		_, err := r.Raw(t.Context(), ipmb.AddrShelfManager, req)
		return err
	}
	if err := ask(); err != nil {
		t.Errorf("with a quorum: %v", err)
	}
	r.raft.set(func(f *fakeRaft) { f.deaf = true })
	if ask() == nil {
		t.Error("answered without a quorum")
	}
}
