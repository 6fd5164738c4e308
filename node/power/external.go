package power

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// An External names the driver of a VM that is not the node's own. One of its fields is set.
type External struct {
	QMP     string         `json:"qmp,omitempty" yaml:"qmp"` // unix:PATH of a monitor that nobody else holds
	Hook    *HookConfig    `json:"hook,omitempty" yaml:"hook"`
	Libvirt *LibvirtConfig `json:"libvirt,omitempty" yaml:"libvirt"`
}

// A Target is what a hook is told of its VM. The UUID is the node's, who does not know the VM's.
type Target struct {
	Slot int
	Name string
	UUID string
}

// Check finds what is missing or cannot be.
func (x External) Check() error {
	set := 0
	for _, is := range []bool{x.QMP != "", x.Hook != nil, x.Libvirt != nil} {
		if is {
			set++
		}
	}
	if set != 1 {
		return errors.New("want one of qmp, hook and libvirt")
	}
	switch {
	case x.Hook != nil:
		return x.Hook.check()
	case x.Libvirt != nil:
		return x.Libvirt.check()
	}
	path, ok := strings.CutPrefix(x.QMP, "unix:")
	if !ok || path == "" {
		return fmt.Errorf("qmp: %q is not unix:PATH", x.QMP)
	}
	return CheckSocketPath(path)
}

// Open returns the driver, which begins to look for its VM. A nil log is quiet.
func (x External) Open(t Target, log *slog.Logger) Driver {
	switch {
	case x.Hook != nil:
		return NewHook(*x.Hook, t, log)
	case x.Libvirt != nil:
		return NewDomain(*x.Libvirt, log)
	}
	return Attach(strings.TrimPrefix(x.QMP, "unix:"), "", log)
}

// Manages reports whether somebody who manages the VM's process, and would take its end by another
// hand for a fault, is behind the driver.
func (x External) Manages() bool { return x.QMP == "" }
