package vm_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

// heard gives the hardware commands that a guest has heard since the last call.
type ears struct {
	g    *vmtest.Guest
	upTo int
}

func (e *ears) heard() []vm.Command {
	synctest.Wait()
	all := e.g.Commands()
	defer func() { e.upTo = len(all) }()
	return all[e.upTo:]
}

func (e *ears) want(t *testing.T, what string, want ...vm.Command) {
	t.Helper()
	if diff := cmp.Diff(want, append([]vm.Command(nil), e.heard()...)); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
}

const (
	off     = vm.CommandNoAttention
	on      = vm.CommandAttention
	onIRQ   = vm.CommandAttentionIRQ
	enable  = vm.CommandEnableIRQ
	disable = vm.CommandDisableIRQ
	version = vm.CommandVersion
)

func TestLinesAreState(t *testing.T) {
	bubble(t, vm.Config{Handler: echo}, func(t *testing.T, d *vm.Door) {
		g := vmtest.New(vmtest.Options{})
		defer g.Close()
		e := &ears{g: g}
		connect(t, d, g)
		e.want(t, "on connect", version, disable, off)
		d.SetAttention(true)
		e.want(t, "attention without interrupts", on)
		d.SetAttention(true)
		e.want(t, "unchanged")
		d.SetInterrupts(true)
		e.want(t, "interrupts while attention is up", enable, off, onIRQ)
		d.SetAttention(false)
		e.want(t, "down", off)
		d.SetAttention(true)
		e.want(t, "up", onIRQ)
		g.Disconnect()
		synctest.Wait()
		d.SetAttention(false)
		d.SetAttention(true)
		connect(t, d, g)
		e.want(t, "again on connect", version, enable, onIRQ)
	})
}

func TestRemindIsForBT(t *testing.T) {
	for i, want := range map[vm.Interface][]vm.Command{vm.KCS: nil, vm.BT: {on}, vm.SSIF: nil} {
		t.Run(i.String(), func(t *testing.T) {
			bubble(t, vm.Config{Handler: echo, Interface: i}, func(t *testing.T, d *vm.Door) {
				g := vmtest.New(vmtest.Options{})
				defer g.Close()
				connect(t, d, g)
				e := &ears{g: g}
				d.Remind()
				d.SetAttention(true)
				_ = e.heard()
				d.Remind()
				e.want(t, "reminded", want...)
			})
		})
	}
}

// TestCommandsGoBeforeTheirAnswer looks at the bytes: what a handler causes
// leaves before its answer, and in the same write.
func TestCommandsGoBeforeTheirAnswer(t *testing.T) {
	var d *vm.Door
	cfg := vm.Config{Handler: ipmb.HandlerFunc(func(context.Context, *ipmb.Request) ipmb.Response {
		d.SetInterrupts(true)
		d.SetAttention(true)
		return ipmb.Response{}
	})}
	bubble(t, cfg, func(t *testing.T, door *vm.Door) {
		d = door
		node, qemu := net.Pipe()
		go func() { _ = d.ServeConn(t.Context(), node) }()
		go func() {
			_, _ = qemu.Write([]byte("\xff\x01\xa1\x08\x3f\xa1"))
			_, _ = qemu.Write([]byte("\x00\x18\x2e\x0f\xab\xa0"))
		}()
		var got []string
		buf := make([]byte, 100)
		for range 2 {
			n, err := qemu.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(buf[:n]))
		}
		want := []string{"\x01\xa0\xff\x01\xa1\x06\xa1\x00\xa1", "\x05\xa1\x02\xa1\x00\x1c\x2e\x00\xb6\xa0"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		_ = qemu.Close()
	})
}

func TestHardware(t *testing.T) {
	d, path := serve(t, vm.Config{Handler: echo})
	if err := d.Hardware(vm.CommandReset); !errors.Is(err, vm.ErrNotConnected) {
		t.Errorf("without a VM: %v", err)
	}
	g := guest(t, path, vmtest.Options{Capabilities: vm.CapAll &^ vm.CapNMI})
	if err := d.Hardware(vm.CommandNMI); !errors.Is(err, vm.ErrCapability) {
		t.Errorf("NMI without the capability: %v", err)
	}
	if err := d.Hardware(vm.CommandAttention); err == nil {
		t.Error("attention taken as a hardware action")
	}
	for _, c := range []vm.Command{vm.CommandPowerOff, vm.CommandReset, vm.CommandGracefulPower} {
		if err := d.Hardware(c); err != nil {
			t.Error(err)
		}
		if err := g.WaitCommand(deadline(t), c); err != nil {
			t.Error(err)
		}
	}
}

// TestTwoLinks is a live migration: the destination greets before the source leaves.
func TestTwoLinks(t *testing.T) {
	var gone []uint64
	cfg := vm.Config{Handler: echo, OnDisconnect: func(l vm.Link) { gone = append(gone, l.ID) }}
	bubble(t, cfg, func(t *testing.T, d *vm.Door) {
		source, destination := vmtest.New(vmtest.Options{}), vmtest.New(vmtest.Options{Seq: 1})
		defer source.Close()
		defer destination.Close()
		connect(t, d, source)
		ask(t, source, ipmb.OK, 1)
		connect(t, d, destination)
		d.SetAttention(true)
		synctest.Wait()
		for _, g := range []*vmtest.Guest{source, destination} {
			if up, _ := g.Attention(); !up {
				t.Error("attention did not reach both links")
			}
		}
		reset(t, d, source, destination)
		ask(t, destination, ipmb.OK, 1) // the VM now runs there
		reset(t, d, destination, source)
		source.Disconnect()
		synctest.Wait()
		ask(t, destination, ipmb.OK, 1)
		if links := d.Connected(); len(links) != 1 || links[0].ID != 2 || !slices.Equal(gone, []uint64{1}) {
			t.Errorf("left %+v, gone %v", links, gone)
		}
	})
}

// reset expects a hardware command to go to one link and not to the other.
func reset(t *testing.T, d *vm.Door, to, other *vmtest.Guest) {
	t.Helper()
	a, b := &ears{g: to}, &ears{g: other}
	_, _ = a.heard(), b.heard()
	if err := d.Hardware(vm.CommandReset); err != nil {
		t.Fatal(err)
	}
	a.want(t, "active link", vm.CommandReset)
	b.want(t, "other link")
}
