package power

import (
	"context"
	"time"

	"github.com/digitalocean/go-libvirt"
)

// libvirtFeeds is what libvirt tells of all its domains.
type libvirtFeeds struct {
	lifecycle <-chan libvirt.DomainEventLifecycleMsg
	reboot    <-chan any
}

// subscribe asks for events. The feeds end with the connection.
func (c *libvirtConn) subscribe(ctx context.Context) (f libvirtFeeds, err error) {
	err = c.call(ctx, func() (err error) {
		if f.lifecycle, err = c.LifecycleEvents(context.Background()); err != nil {
			return err
		}
		f.reboot, err = c.SubscribeEvents(context.Background(), libvirt.DomainEventIDReboot, nil)
		return err
	})
	return f, err
}

// follow applies events until the connection ends.
func (d *Domain) follow(f libvirtFeeds) {
	for f.lifecycle != nil || f.reboot != nil {
		select {
		case e, ok := <-f.lifecycle:
			if !ok {
				f.lifecycle = nil
			} else if e.Dom.Name == d.cfg.Domain {
				d.lifecycle(e.Event, e.Detail)
			}
		case e, ok := <-f.reboot:
			if !ok {
				f.reboot = nil
			} else if m, is := e.(*libvirt.DomainEventCallbackRebootMsg); is && m.Msg.Dom.Name == d.cfg.Domain {
				d.rebooted()
			}
		}
	}
}

// rebooted takes a reset of the machine. Libvirt does not say whose: what is not ours is the guest's.
func (d *Domain) rebooted() {
	now := time.Now()
	d.mu.Lock()
	guest := !d.reset
	d.reset = false
	counts := d.resets.counts(now, guest)
	d.mu.Unlock()
	if counts {
		d.publish(Event{Kind: EventReset, Time: now, Guest: guest})
	}
}

// lifecycle takes an event of virDomainEventType and its detail (libvirt include/libvirt-domain.h).
func (d *Domain) lifecycle(event, detail int32) {
	now := time.Now()
	switch libvirt.DomainEventType(event) {
	case libvirt.DomainEventStarted:
		d.enter(Running, Event{Kind: EventStarted, Reason: "started"})
	case libvirt.DomainEventSuspended:
		d.move(func() { d.resets.stopped(now) })
		d.enter(Paused, Event{Kind: EventStop})
	case libvirt.DomainEventResumed:
		d.move(func() { d.resets.resumed(now) })
		d.enter(Running, Event{Kind: EventResume})
	case libvirt.DomainEventPmsuspended:
		d.enter(Suspended, Event{Kind: EventSuspend})
	case libvirt.DomainEventShutdown:
		// Libvirt ends the process now, so the state waits for that.
		guest := libvirt.DomainEventShutdownDetailType(detail) == libvirt.DomainEventShutdownGuest
		d.publish(Event{Kind: EventShutdown, Guest: guest})
	case libvirt.DomainEventCrashed:
		d.enter(Crashed, Event{Kind: EventPanicked, Reason: "pause"})
	case libvirt.DomainEventStopped:
		d.stopped(libvirt.DomainEventStoppedDetailType(detail))
	}
}

func (d *Domain) move(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

var stoppedReasons = map[libvirt.DomainEventStoppedDetailType]string{
	libvirt.DomainEventStoppedShutdown:  "shutdown",
	libvirt.DomainEventStoppedDestroyed: "destroyed",
	libvirt.DomainEventStoppedCrashed:   "crashed",
	libvirt.DomainEventStoppedMigrated:  "migrated",
	libvirt.DomainEventStoppedSaved:     "saved",
	libvirt.DomainEventStoppedFailed:    "failed",
}

func (d *Domain) stopped(detail libvirt.DomainEventStoppedDetailType) {
	s := Off
	if detail == libvirt.DomainEventStoppedCrashed || detail == libvirt.DomainEventStoppedFailed {
		s = Crashed
	}
	d.enter(s, Event{Kind: EventExited, Reason: stoppedReasons[detail]})
}

// domainState maps virDomainState and its reason to ours.
func domainState(state, reason int32) State {
	switch libvirt.DomainState(state) {
	case libvirt.DomainRunning, libvirt.DomainBlocked, libvirt.DomainShutdown: // the last one is about to end
		return Running
	case libvirt.DomainPaused:
		if libvirt.DomainPausedReason(reason) == libvirt.DomainPausedCrashed {
			return Crashed
		}
		return Paused
	case libvirt.DomainShutoff:
		if libvirt.DomainShutoffReason(reason) == libvirt.DomainShutoffCrashed {
			return Crashed
		}
		return Off
	case libvirt.DomainCrashed:
		return Crashed
	case libvirt.DomainPmsuspended:
		return Suspended
	}
	return Unknown
}
