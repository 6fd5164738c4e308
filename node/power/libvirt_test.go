package power

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/digitalocean/go-libvirt"
)

func TestDomainStates(t *testing.T) {
	for _, c := range []struct {
		state  libvirt.DomainState
		reason int32
		want   State
	}{
		{libvirt.DomainNostate, 0, Unknown},
		{libvirt.DomainRunning, 0, Running},
		{libvirt.DomainBlocked, 0, Running},
		{libvirt.DomainPaused, int32(libvirt.DomainPausedUser), Paused},
		{libvirt.DomainPaused, int32(libvirt.DomainPausedCrashed), Crashed},
		{libvirt.DomainShutdown, 0, Running},
		{libvirt.DomainShutoff, int32(libvirt.DomainShutoffDestroyed), Off},
		{libvirt.DomainShutoff, int32(libvirt.DomainShutoffCrashed), Crashed},
		{libvirt.DomainCrashed, 0, Crashed},
		{libvirt.DomainPmsuspended, 0, Suspended},
		{99, 0, Unknown},
	} {
		if got := domainState(int32(c.state), c.reason); got != c.want {
			t.Errorf("%v %d: %v, want %v", c.state, c.reason, got, c.want)
		}
	}
}

func TestDomainEvents(t *testing.T) {
	var d Domain
	d.log = quietUnless(nil)
	events := d.Subscribe(16)
	for _, c := range []struct {
		event  libvirt.DomainEventType
		detail int32
		kind   EventKind
		state  State
		guest  bool
	}{
		{libvirt.DomainEventStarted, 0, EventStarted, Running, false},
		{libvirt.DomainEventSuspended, 0, EventStop, Paused, false},
		{libvirt.DomainEventResumed, 0, EventResume, Running, false},
		{libvirt.DomainEventPmsuspended, 0, EventSuspend, Suspended, false},
		{libvirt.DomainEventStarted, 1, EventStarted, Running, false},
		{libvirt.DomainEventShutdown, int32(libvirt.DomainEventShutdownHost), EventShutdown, Running, false},
		{libvirt.DomainEventShutdown, int32(libvirt.DomainEventShutdownGuest), EventShutdown, Running, true},
		{libvirt.DomainEventStopped, int32(libvirt.DomainEventStoppedShutdown), EventExited, Off, false},
		{libvirt.DomainEventStopped, int32(libvirt.DomainEventStoppedCrashed), EventExited, Crashed, false},
		{libvirt.DomainEventCrashed, 0, EventPanicked, Crashed, false},
	} {
		d.lifecycle(int32(c.event), c.detail)
		if e := <-events.C(); e.Kind != c.kind || e.State != c.state || e.Guest != c.guest {
			t.Errorf("%v: %+v, want %v in %v", c.event, e, c.kind, c.state)
		}
	}
	d.lifecycle(int32(libvirt.DomainEventDefined), 0)
	d.reset = true
	d.rebooted() // ours
	d.rebooted() // and the firmware's
	if e := <-events.C(); e.Kind != EventReset || e.Guest {
		t.Errorf("reset %+v", e)
	}
	if len(events.C()) > 0 {
		t.Errorf("and %+v", <-events.C())
	}
}

// Libvirt may be away, or not answer: nobody waits for it for long.
func TestDomainWithoutLibvirt(t *testing.T) {
	socket := filepath.Join(shortDir(t), "s")
	d := NewDomain(LibvirtConfig{URI: "qemu:///system?socket=" + socket, Domain: "a"}, nil)
	if err := d.Start(t.Context()); !errors.Is(err, ErrNotRunning) || d.State() != Unknown {
		t.Errorf("%v, %v", d.State(), err)
	}
	check(t, d.Close())

	l, err := net.Listen("unix", socket)
	check(t, err)
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if c, err := dialLibvirt(ctx, LibvirtConfig{URI: "qemu:///system?socket=" + socket, Domain: "a"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", c, err)
	}
}
