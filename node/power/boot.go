package power

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/midplane-project/midplane/node/power/qmp"
)

// ErrFixedBoot says that a VM boots what it is told only in a new process: QEMU keeps a kernel from its
// command line in front of all devices, and has no way to put one there later.
var ErrFixedBoot = errors.New("what the VM boots is fixed for the life of its process")

// defaultOrder is QEMU's own: disk, CD, floppy.
const defaultOrder = "cad"

// A Boot says from which devices a VM boots. The firmware must go by QEMU's boot order, as SeaBIOS does,
// and devices with a bootindex come before it.
type Boot struct {
	Order string // QEMU's letters: c disk, d CD, a floppy, n network; "" as the Spec has it
	Once  bool   // only the first boot of the process
}

// A Booter can be told what its VM boots. A [Launcher] may be one.
type Booter interface {
	// BootNext says what the processes that Start makes from now on boot.
	BootNext(Boot)
	// Reorder says what the living VM boots when it is reset. It returns ErrFixedBoot where only a
	// new process can do that.
	Reorder(ctx context.Context, order string) error
}

var _ Booter = (*Machine)(nil)

// BootNext implements [Booter].
func (m *Machine) BootNext(b Boot) {
	m.procMu.Lock()
	defer m.procMu.Unlock()
	m.boot = b
}

func (m *Machine) nextBoot() Boot {
	m.procMu.Lock()
	defer m.procMu.Unlock()
	return m.boot
}

// Reorder implements [Booter].
func (m *Machine) Reorder(ctx context.Context, order string) error {
	if m.cfg.Spec.Kernel != "" {
		p, _ := m.current()
		switch {
		case p == nil:
			return fmt.Errorf("cannot choose what the VM boots: %w", ErrNotRunning)
		case hasKernel(p.pid) != (order == ""):
			return ErrFixedBoot
		case order == "":
			return nil
		}
	}
	return m.command(ctx, "choose the boot device of", func(c *qmp.Client, ctx context.Context) error {
		return c.BootSet(ctx, or(order, defaultOrder))
	})
}

// hasKernel reports whether a QEMU process was started with a kernel.
func hasKernel(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && slices.Contains(strings.Split(string(line), "\x00"), "-kernel")
}

// bootArgs is the kernel, or the devices in its place.
func bootArgs(s Spec) []pair {
	switch {
	case s.Boot.Order != "" && s.Boot.Once:
		return []pair{{"-boot", "once=" + s.Boot.Order}}
	case s.Boot.Order != "":
		return []pair{{"-boot", "order=" + s.Boot.Order}}
	}
	var pairs []pair
	for _, p := range []pair{{"-kernel", s.Kernel}, {"-initrd", s.Initrd}, {"-append", s.Append}} {
		if p.value != "" {
			pairs = append(pairs, p)
		}
	}
	return pairs
}

// HostBoot names the present run of the host's kernel.
func HostBoot() (string, error) { return bootID() }
