package qmp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A Status is the reply to query-status.
type Status struct {
	Running bool   `json:"running"`
	Status  string `json:"status"` // QEMU's run state: prelaunch, running, paused, shutdown, …
}

// QueryStatus asks for the run state.
func (c *Client) QueryStatus(ctx context.Context) (Status, error) {
	var s Status
	err := c.Execute(ctx, "query-status", nil, &s)
	return s, err
}

// QueryUUID asks for the VM's UUID in its usual text form.
func (c *Client) QueryUUID(ctx context.Context) (string, error) {
	var r struct{ UUID string }
	err := c.Execute(ctx, "query-uuid", nil, &r)
	return r.UUID, err
}

// A CPU is one of QueryCPUs's processors.
type CPU struct {
	Thread int `json:"thread-id"` // of the host's, in QEMU's process
}

// QueryCPUs asks for the VM's processors, without disturbing them.
func (c *Client) QueryCPUs(ctx context.Context) (list []CPU, err error) {
	err = c.Execute(ctx, "query-cpus-fast", nil, &list)
	return list, err
}

// Stop pauses the VM; its clock stands still until [Client.Cont].
func (c *Client) Stop(ctx context.Context) error { return c.Execute(ctx, "stop", nil, nil) }

// Cont starts or resumes the VM.
func (c *Client) Cont(ctx context.Context) error { return c.Execute(ctx, "cont", nil, nil) }

// SystemReset resets the VM as a reset button does.
func (c *Client) SystemReset(ctx context.Context) error {
	return c.Execute(ctx, "system_reset", nil, nil)
}

// Powerdown presses the ACPI power button; the guest decides what follows.
func (c *Client) Powerdown(ctx context.Context) error {
	return c.Execute(ctx, "system_powerdown", nil, nil)
}

// InjectNMI raises an NMI on every processor.
func (c *Client) InjectNMI(ctx context.Context) error {
	return c.Execute(ctx, "inject-nmi", nil, nil)
}

// Quit ends the QEMU process. QEMU may close the connection before its answer, which counts as done.
func (c *Client) Quit(ctx context.Context) error {
	err := c.Execute(ctx, "quit", nil, nil)
	if errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

// Actions says what QEMU does on some happenings; empty fields are left as they are.
type Actions struct {
	Reboot   string `json:"reboot,omitempty"`   // reset, shutdown
	Shutdown string `json:"shutdown,omitempty"` // poweroff, pause
	Panic    string `json:"panic,omitempty"`    // pause, shutdown, exit-failure, none
	Watchdog string `json:"watchdog,omitempty"` // reset, shutdown, poweroff, pause, debug, none, inject-nmi
}

// SetAction changes the actions of a running QEMU (6.0 and later).
func (c *Client) SetAction(ctx context.Context, a Actions) error {
	return c.Execute(ctx, "set-action", a, nil)
}

// BootSet sets the order of the boot devices from the next reset on, in the letters of -boot. QMP has no
// command for it; the monitor's answers in words.
func (c *Client) BootSet(ctx context.Context, order string) error {
	var said string
	line := map[string]string{"command-line": "boot_set " + order}
	if err := c.Execute(ctx, "human-monitor-command", line, &said); err != nil {
		return err
	}
	if !strings.HasPrefix(said, "boot device list now set to ") {
		return fmt.Errorf("qmp: boot_set %s: %s", order, strings.TrimSpace(said))
	}
	return nil
}

// QomGet reads one property of QEMU's object tree into result, a pointer.
func (c *Client) QomGet(ctx context.Context, path, property string, result any) error {
	return c.Execute(ctx, "qom-get", map[string]string{"path": path, "property": property}, result)
}

// ChardevConnected reports whether somebody holds the other end of the chardev with that id.
func (c *Client) ChardevConnected(ctx context.Context, id string) (bool, error) {
	var up bool
	err := c.QomGet(ctx, "/chardevs/"+id, "connected", &up)
	return up, err
}

// Decode reads the event's fields into v, a pointer. An event without fields leaves v as it is.
func (e Event) Decode(v any) error {
	if len(e.Data) == 0 {
		return nil
	}
	if err := json.Unmarshal(e.Data, v); err != nil {
		return fmt.Errorf("qmp: event %s: %w", e.Name, err)
	}
	return nil
}

// ChardevSendBreak sends a break to the serial port behind a chardev.
func (c *Client) ChardevSendBreak(ctx context.Context, id string) error {
	return c.Execute(ctx, "chardev-send-break", map[string]string{"id": id}, nil)
}
