package sim_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/internal/sim"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sdr"
)

// The SDR repository of 0x20 has the records of real nodes, and the same ones at
// the same times when its leader is killed.
func TestRepositoryOfAShelf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sim.NewWorld(t, 1, 2)
		defer w.Stop()
		names := []string{"blade1", "blade2"}
		for slot := range names {
			defer sim.NewGuest(w, slot+1, 2).Boot()()
		}
		if !w.Settle(names) {
			return
		}
		time.Sleep(10 * time.Second)
		before, stamp := readRepository(t, w)
		for _, owner := range []ipmb.Addr{0x82, 0x84} {
			for _, kind := range []sdr.Type{sdr.TypeMCLocator, sdr.TypeCompact} {
				if before[fmt.Sprintf("%v %v", kind, owner)] == 0 {
					t.Errorf("no %v record of %v in %v", kind, owner, before)
				}
			}
		}
		w.KillReplica(w.Leader().Name())
		time.Sleep(10 * time.Second)
		after, later := readRepository(t, w)
		if stamp != later || fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("after a failover %v at %v, before it %v at %v", after, later, before, stamp)
		}
	})
}

// readRepository counts the records by type and owner, and gives the time of
// the last addition.
func readRepository(t *testing.T, w *sim.World) (records map[string]int, stamp uint32) {
	t.Helper()
	ask := func(cmd ipmb.Cmd, data ...byte) []byte {
		t.Helper()
		r, err := w.Leader().Raw(t.Context(), sim.Shelf, ipmb.AddrShelfManager, &ipmb.Request{
			NetFn: ipmb.NetFnStorage, Cmd: cmd, Data: data,
			Origin: ipmb.Origin{Speaker: ipmb.SpeakerAPI, Door: ipmb.DoorAPI, Privilege: ipmb.PrivilegeUser},
		})
		if err != nil || r.Code != ipmb.OK {
			t.Fatalf("%02x % x: %v, %v", cmd, data, r.Code, err)
		}
		return r.Data
	}
	records = make(map[string]int)
	for id := sdr.FirstID; id != sdr.LastID; {
		b := ask(0x23, 0, 0, byte(id), byte(id>>8), 0, 0xFF)
		id = binary.LittleEndian.Uint16(b)
		records[fmt.Sprintf("%v %v", sdr.Type(b[5]), ipmb.Addr(b[7]))]++
	}
	return records, binary.LittleEndian.Uint32(ask(0x20)[5:])
}
