package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/node/power"
)

// firmwareTime is how much running time the firmware may take to read the boot
// order after a start or reset. Then the order becomes that of the next boot.
const firmwareTime = 30 * time.Second

// bootOrders are the devices that a VM can boot, in QEMU's letters. It has one
// disk, so the disks are one; the firmware's setup (6) is a key on the console.
var bootOrders = map[mc.BootDevice]string{
	mc.BootPXE:  "n",
	mc.BootDisk: "c", mc.BootDiskSafe: "c", mc.BootDiagnostic: "c", mc.BootRemoteDisk: "c",
	mc.BootCD: "d", mc.BootRemoteCD: "d",
	mc.BootRemovable: "a", mc.BootRemoteRemovable: "a", mc.BootRemotePrimary: "a",
}

// bootNext tells the machine what its next process boots.
func (h *host) bootNext() {
	h.life.order.Lock()
	defer h.life.order.Unlock()
	f := h.life.boot.Flags()
	order := bootOrders[f.Device()]
	h.life.used, h.life.fixed = f, false
	if b, ok := h.machine.(power.Booter); ok {
		b.BootNext(power.Boot{Order: order, Once: !f.Persistent()})
		h.life.note(func(s *lifeState) { s.Order = order })
	}
}

// reorder tells a VM that is on what it boots when it is reset.
func (h *host) reorder(ctx context.Context) error {
	h.life.order.Lock()
	defer h.life.order.Unlock()
	f := h.life.boot.Flags()
	order := bootOrders[f.Device()]
	b, ok := h.machine.(power.Booter)
	if f.Device() != mc.BootDefault && (!ok || order == "") {
		h.log.Warn("boot device is stored, but the node cannot make the VM boot it", "device", f.Device())
	}
	h.life.fixed = false
	if ok && h.On() && h.life.get().Order != order {
		err := b.Reorder(ctx, order)
		if errors.Is(err, power.ErrFixedBoot) {
			h.life.fixed = true
			return nil
		}
		if err == nil {
			err = h.life.update(func(s *lifeState) { s.Order = order })
		}
		if err != nil {
			return err
		}
	}
	h.life.used = f
	return nil
}

// chooseBoot is reorder for a command, which is told when it was not done.
func (h *host) chooseBoot(ctx context.Context) error {
	h.notify() // the keeper awaits the flags' end
	if err := h.reorder(ctx); err != nil {
		h.log.Warn("VM not told its boot device", "err", err)
		return fmt.Errorf("%w: %w", ipmb.ErrBusy, err)
	}
	return nil
}

// launched takes note of a new process, or why there is none.
func (k *keeper) launched(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	k.life.started(err)
	if err == nil {
		k.booted(k.life.get().Cause.Cause)
	}
}

// booted notes that the VM boots by the flags that it was told.
func (k *keeper) booted(cause restartCause) {
	k.life.order.Lock()
	used := k.life.used
	k.life.order.Unlock()
	k.life.note(func(s *lifeState) {
		if s.Device = mc.BootDefault; bootOrders[used.Device()] != "" && k.canOrder() {
			s.Device = used.Device()
		}
	})
	if err := k.life.boot.Booted(used, cause.reason()); err != nil {
		k.log.Error("boot flags not stored", "err", err)
	}
	k.order.Reset(firmwareTime)
}

// canOrder reports whether the VM boots what it is told.
func (h *host) canOrder() bool {
	_, ok := h.machine.(power.Booter)
	return ok
}

// reset takes note of a reset of the VM. If this process cannot boot what the
// VM should boot now, another one does.
func (k *keeper) reset(ctx context.Context, guest bool) {
	cause := k.life.reset(guest)
	k.settleOrder(ctx) // of the last boot, if it was a moment ago
	k.life.order.Lock()
	fixed := k.life.fixed
	k.life.order.Unlock()
	if !fixed || !k.shouldRun() {
		k.booted(cause)
		return
	}
	k.log.Info("VM boots in a new process, which its boot device needs")
	k.life.note(func(s *lifeState) { s.Due = forever })
	if err := k.machine.Kill(ctx); err != nil {
		k.log.Error("VM not ended to boot another device", "err", err)
	}
	k.start.Reset(0)
}

// settleOrder gives a VM that has booted the order of its next boot.
func (k *keeper) settleOrder(ctx context.Context) {
	if err := k.reorder(ctx); err != nil {
		k.log.Warn("VM not told its boot device", "err", err)
	}
}

// awaitLapse sets the timer for the end of the boot flags that hold.
func (k *keeper) awaitLapse() {
	if at := k.life.boot.Expiry(); !at.IsZero() {
		k.lapse.Reset(time.Until(at))
	}
}

// lapsed takes boot flags back when nobody used them in time: the VM boots as
// ever again. If it has just booted, its firmware keeps the order of that boot.
func (k *keeper) lapsed(ctx context.Context) {
	if err := k.life.boot.Expire(); err != nil {
		k.log.Error("boot flags not stored", "err", err)
	}
	switch at := k.life.boot.Expiry(); {
	case time.Now().Before(at): // there was a Chassis Control, or there are others
		k.awaitLapse()
	case k.order.Stop():
		k.order.Reset(firmwareTime)
	default:
		k.settleOrder(ctx)
	}
}

// orderDue is settleOrder when the firmware has had its time, which stands
// still while the VM is paused.
func (k *keeper) orderDue(ctx context.Context) {
	if k.On() && k.machine.VMTimePaused() {
		k.order.Reset(firmwareTime)
		return
	}
	k.settleOrder(ctx)
}
