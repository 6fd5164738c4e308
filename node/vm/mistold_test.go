package vm_test

import (
	"context"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

// TestRequestsThatQEMUMistells: the device's own answer to a request whose first
// bytes are escaped goes astray. The guest is told C3h of each all the same.
func TestRequestsThatQEMUMistells(t *testing.T) {
	for name, c := range map[string]struct {
		seq   uint8
		netFn ipmb.NetFn
		lun   ipmb.LUN
		cmd   ipmb.Cmd
	}{
		"number A0h":  {0xA0, ipmb.NetFnApp, 0, 1},
		"number A1h":  {0xA1, ipmb.NetFnApp, 0, 1},
		"number AAh":  {0xAA, ipmb.NetFnApp, 0, 1},
		"netFn 28h":   {5, 0x28, 0, 1},
		"netFn 2Ah":   {5, 0x2A, 2, 1},
		"command A1h": {5, ipmb.NetFnApp, 0, 0xA1},
		"none":        {0x9F, ipmb.NetFnApp, 0, 1},
	} {
		for fault, kind := range map[string]vm.FaultKind{"slow": 0, "drop": vm.FaultDrop, "bad checksum": vm.FaultBadChecksum} {
			t.Run(name+" "+fault, func(t *testing.T) {
				bubble(t, vm.Config{Handler: sleepy}, func(t *testing.T, d *vm.Door) {
					g := vmtest.New(vmtest.Options{Seq: c.seq})
					defer g.Close()
					connect(t, d, g)
					wait := byte(60)
					if kind != 0 {
						wait = 1
						if _, err := d.Inject(vm.Fault{Kind: kind, Count: 1}); err != nil {
							t.Fatal(err)
						}
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					code, _, err := g.Do(ctx, c.netFn, c.lun, c.cmd, []byte{wait})
					if code != ipmb.ErrTimeout || err != nil {
						t.Fatalf("%v, %v", code, err)
					}
					ask(t, g, ipmb.OK, 1, 30) // the late handler's answer does not come into this
					time.Sleep(10 * time.Second)
					if n := g.Dropped(); n != 0 {
						t.Errorf("%d answers that nobody waited for were sent", n)
					}
				})
			})
		}
	}
}
