package vm_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

// asked is what a guest got, and when.
type asked struct {
	code ipmb.CompletionCode
	data []byte
	took time.Duration
}

func askBad(t *testing.T, g *vmtest.Guest, cmd ipmb.Cmd, data ...byte) asked {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	code, got, err := g.Do(ctx, ipmb.NetFnStorage, 0, cmd, data)
	if err != nil {
		t.Fatal(err)
	}
	return asked{code, got, time.Since(began)}
}

// TestFaults: what the guest sees of each. Echo answers with command and data.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault  vm.Fault
		want   asked
		served int
	}{
		"delay":         {vm.Fault{Kind: vm.FaultDelay, Delay: time.Second}, asked{data: []byte{7, 1, 2}, took: time.Second}, 1},
		"long delay":    {vm.Fault{Kind: vm.FaultDelay, Delay: 5 * time.Second}, asked{code: ipmb.ErrTimeout, took: 4 * time.Second}, 1},
		"drop":          {vm.Fault{Kind: vm.FaultDrop}, asked{code: ipmb.ErrTimeout, took: 4 * time.Second}, 1},
		"cc":            {vm.Fault{Kind: vm.FaultCode, Code: ipmb.ErrBusy}, asked{code: ipmb.ErrBusy}, 0},
		"truncate":      {vm.Fault{Kind: vm.FaultTruncate, Keep: 2}, asked{data: []byte{7, 1}}, 1},
		"truncate more": {vm.Fault{Kind: vm.FaultTruncate, Keep: 9}, asked{data: []byte{7, 1, 2}}, 1},
		"bad checksum":  {vm.Fault{Kind: vm.FaultBadChecksum}, asked{code: ipmb.ErrTimeout, took: 4 * time.Second}, 1},
		"wrong seq":     {vm.Fault{Kind: vm.FaultWrongSeq}, asked{code: ipmb.ErrInitialising, took: 6 * time.Second}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			served := 0
			h := ipmb.HandlerFunc(func(ctx context.Context, r *ipmb.Request) ipmb.Response {
				served++
				return echo(ctx, r)
			})
			bubble(t, vm.Config{Handler: h}, func(t *testing.T, d *vm.Door) {
				g := vmtest.New(vmtest.Options{})
				defer g.Close()
				connect(t, d, g)
				c.fault.Match, c.fault.NetFn, c.fault.Cmd, c.fault.Count = true, ipmb.NetFnStorage, 7, 1
				if _, err := d.Inject(c.fault); err != nil {
					t.Fatal(err)
				}
				if got := askBad(t, g, 8); got.code != ipmb.OK || got.took != 0 {
					t.Errorf("another command: %+v", got)
				}
				served = 0
				got := askBad(t, g, 7, 1, 2)
				if got.code != c.want.code || !bytes.Equal(got.data, c.want.data) || got.took != c.want.took {
					t.Errorf("got %+v, want %+v", got, c.want)
				}
				time.Sleep(10 * time.Second)
				if served != c.served {
					t.Errorf("served %d times, want %d", served, c.served)
				}
				if got := askBad(t, g, 7, 3); got.code != ipmb.OK || got.took != 0 || len(d.Faults()) != 0 {
					t.Errorf("afterwards: %+v, faults %+v", got, d.Faults())
				}
			})
		})
	}
}

// TestFaultsOfTheLine: attention for nothing, and a queue without an end.
func TestFaultsOfTheLine(t *testing.T) {
	empty := ipmb.HandlerFunc(func(_ context.Context, r *ipmb.Request) ipmb.Response {
		if r.Cmd == ipmb.CmdGetMessage {
			return ipmb.Response{Code: ipmb.ErrEmpty}
		}
		return ipmb.Response{Data: []byte{0}}
	})
	for kind, flags := range map[vm.FaultKind]byte{vm.FaultAttentionStuck: 0x00, vm.FaultQueueNeverEmpty: 0x01} {
		t.Run(kind.String(), func(t *testing.T) {
			bubble(t, vm.Config{Handler: empty, Origin: ipmb.Origin{Source: 0x82}}, func(t *testing.T, d *vm.Door) {
				g := vmtest.New(vmtest.Options{})
				defer g.Close()
				connect(t, d, g)
				if _, err := d.Inject(vm.Fault{Kind: kind, For: time.Minute}); err != nil {
					t.Fatal(err)
				}
				d.SetAttention(true)
				d.SetAttention(false)
				synctest.Wait()
				if up, _ := g.Attention(); !up {
					t.Error("the line is down")
				}
				if _, got, err := g.Do(t.Context(), ipmb.NetFnApp, 0, ipmb.CmdGetMessageFlags, nil); err != nil || got[0] != flags {
					t.Errorf("flags % x, %v", got, err)
				}
				code, got, err := g.Do(t.Context(), ipmb.NetFnApp, 0, ipmb.CmdGetMessage, nil)
				if stuck := kind == vm.FaultAttentionStuck; err != nil || stuck != (code == ipmb.ErrEmpty) {
					t.Errorf("message %v % x, %v", code, got, err)
				} else if !stuck {
					if f, err := ipmb.ParseFrame(append([]byte{0x82}, got[1:]...)); err != nil || f.ToLUN != ipmb.LUNSMS || f.IsResponse() {
						t.Errorf("message % x: %v, %v", got, f, err)
					}
				}
				time.Sleep(2 * time.Minute)
				if up, _ := g.Attention(); up || len(d.Faults()) != 0 {
					t.Errorf("after its time: line %v, faults %+v", up, d.Faults())
				}
			})
		})
	}
}

func TestFaultsAreChecked(t *testing.T) {
	d := vm.New(vm.Config{Handler: ipmb.HandlerFunc(echo)})
	defer d.Close()
	for name, f := range map[string]vm.Fault{
		"no kind":         {},
		"unknown kind":    {Kind: 99},
		"delay of 0":      {Kind: vm.FaultDelay},
		"negative":        {Kind: vm.FaultDrop, Count: -1},
		"match the line":  {Kind: vm.FaultAttentionStuck, Match: true},
		"count the line":  {Kind: vm.FaultAttentionStuck, Count: 1},
		"match the queue": {Kind: vm.FaultQueueNeverEmpty, Match: true},
	} {
		if _, err := d.Inject(f); !errors.Is(err, vm.ErrFault) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range vm.MaxFaults {
		if _, err := d.Inject(vm.Fault{Kind: vm.FaultDrop}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Inject(vm.Fault{Kind: vm.FaultDrop}); !errors.Is(err, vm.ErrFault) {
		t.Errorf("one too many: %v", err)
	}
	if !d.Heal(3) || d.Heal(3) || len(d.Faults()) != vm.MaxFaults-1 || !d.Heal(0) || len(d.Faults()) != 0 {
		t.Errorf("not healed: %+v", d.Faults())
	}
}
