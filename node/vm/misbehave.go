package vm

import (
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// serve has the handler answer t, with what faults do to it.
func (l *link) serve(t *turn) ipmb.Response {
	d := l.door
	f, bad := d.faults.take(func(f Fault) bool {
		return f.Kind.matches() && (!f.Match || f.NetFn == t.msg.NetFn && f.Cmd == t.msg.Cmd)
	})
	t.fault = f.Kind // zero: none
	if !bad {
		return d.neverEmpty(t.msg, d.cfg.Handler.ServeIPMI(&t.ctx, &t.req))
	}
	d.tap(ToGuest, nil, "fault: "+f.Kind.String())
	switch f.Kind {
	case FaultCode:
		return ipmb.Response{Code: f.Code}
	case FaultDelay:
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-t.ctx.Done():
		}
	}
	r := d.cfg.Handler.ServeIPMI(&t.ctx, &t.req)
	if f.Kind == FaultTruncate {
		r.Data = r.Data[:min(f.Keep, len(r.Data))]
	}
	return r
}

// spoil makes of an answer's frame what a fault leaves of it.
func (k FaultKind) spoil(frame []byte) []byte {
	switch k {
	case FaultDrop:
		return frame[:0]
	case FaultBadChecksum: // one more byte before the end takes the checksum's place
		return append(frame[:len(frame)-1], 0x01, endMessage)
	}
	return frame
}

// silent reports whether the device hears no answer because of the fault.
func (k FaultKind) silent() bool { return k == FaultDrop || k == FaultBadChecksum }

// rescueLater answers m with code after a while, when QEMU would not end it: an answer
// with a wrong number has stopped its time limit, or what it says itself would not
// be heard (see mistold.go). The interface would stay busy for ever, after the
// fault as well. The caller holds door.mu.
func (l *link) rescueLater(m Message, after time.Duration, code ipmb.CompletionCode) {
	d, served := l.door, l.door.served
	m.Data = nil
	if l.rescue != nil {
		l.rescue.Stop()
	}
	l.rescue = time.AfterFunc(after, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if l.usable() && d.served == served {
			l.out = appendResponse(l.out, m, ipmb.Response{Code: code})
			l.flushSoon()
		}
	})
}

// queueFlag is that of the receive message queue in Get Message Flags (IPMI 2.0 §22.4).
const queueFlag = 0x01

// endless is a message that nobody sent: software of the guest is asked for Get
// Device ID from address 00h.
func (d *Door) endless() []byte {
	ask := ipmb.Frame{To: d.origin.Source, NetFn: ipmb.NetFnApp, ToLUN: ipmb.LUNSMS, Cmd: ipmb.CmdGetDeviceID}
	raw, _ := ask.AppendBinary([]byte{ipmb.ChannelIPMB}) // fails for long data only
	return append(raw[:1], raw[2:]...)
}

// neverEmpty has the queue seem full, if a fault says so.
func (d *Door) neverEmpty(m Message, r ipmb.Response) ipmb.Response {
	if m.NetFn != ipmb.NetFnApp || !d.faults.has(FaultQueueNeverEmpty) {
		return r
	}
	switch {
	case m.Cmd == ipmb.CmdGetMessageFlags && r.Code == ipmb.OK && len(r.Data) > 0:
		return ipmb.Response{Data: []byte{r.Data[0] | queueFlag}}
	case m.Cmd == ipmb.CmdGetMessage && r.Code == ipmb.ErrEmpty:
		if _, ok := d.faults.take(func(f Fault) bool { return f.Kind == FaultQueueNeverEmpty }); ok {
			return ipmb.Response{Data: d.endless()}
		}
	}
	return r
}

// shown is the level that links are told: with faults the line may be up for nothing.
func (d *Door) shown() level {
	v := d.level
	v.attention = v.attention || d.faults.has(FaultAttentionStuck) || d.faults.has(FaultQueueNeverEmpty)
	return v
}
