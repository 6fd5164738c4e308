package vm

import (
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// A request that the device could not write, since the node was just going,
// leaves a KCS or BT interface busy for ever: through reconnects and VM
// resets, until an answer with its number comes (QEMU
// hw/ipmi/ipmi_bmc_extern.c: outlen is not cleared when the chardev closes).
// The same happens to a request that was under way when the VM migrated. So a
// new link gets the last answer again, which ends the second case; and if
// nothing is asked for a while, an answer to the request that may have been
// lost, which ends the first. An interface that waits for nothing drops both.
//
// What was asked is not known. To a KCS driver any answer ends the request. A BT
// driver passes over one that is not to its command, and waits on until its ten
// seconds are over (ipmi_bt_sm.c, read_all_bytes): so it gets one after the
// other for each kind of request that this guest makes.
const (
	kickAfter = 6 * time.Second
	kickEvery = 100 * time.Millisecond // a guest that was revived asks again within this
)

// promote makes l the active link without its having asked for that. The
// caller holds d.mu and flushes l.
func (d *Door) promote(l *link) {
	d.active = l
	if len(d.reply) > 0 && d.replyTo != l {
		l.out = append(l.out, d.reply...)
		d.replyTo = l
	}
	if !l.asked && l.kick == nil {
		l.kick = time.AfterFunc(kickAfter, l.kickIdle)
	}
}

// takeOver makes l the active link because the guest asked by it. What came
// with the VM's state may differ from what this link was told.
func (d *Door) takeOver(l *link) {
	d.active = l
	l.tellAll()
}

// demote finds another active link in place of l. The caller holds d.mu.
func (d *Door) demote(l *link) {
	if d.active != l {
		return
	}
	d.active = nil
	for _, o := range d.links {
		if o.usable() && o != l {
			d.promote(o)
			o.tellAll()
			o.flushSoon()
			return
		}
	}
}

// kickIdle sends the next kick, once the VM has run for long enough.
func (l *link) kickIdle() {
	d := l.door
	d.mu.Lock()
	defer d.mu.Unlock()
	kinds := d.memory.kinds()
	switch {
	case !l.usable() || l.asked || l.handing || d.active != l || l.kicks >= len(kinds):
		return
	case d.clock.paused:
		l.kick.Reset(kickAfter)
		return
	}
	m := kinds[l.kicks]
	l.kicks++
	d.log.Debug("no request yet: answering one that may have been lost",
		"link", l.info.ID, "as", m, "after", d.last.n, "known", d.last.known)
	d.tap(ToGuest, nil, "kick")
	if d.last.known {
		d.last.n++
		l.out = appendKick(l.out, m, d.last.n)
	} else {
		// Descending: the device counts up at each match, so only one can match.
		for seq := 255; seq >= 0; seq-- {
			l.out = appendKick(l.out, m, uint8(seq))
		}
	}
	l.flushSoon()
	if d.cfg.Interface == BT {
		l.kick.Reset(kickEvery)
	}
}

// appendKick appends the answer that the device itself gives without a node.
func appendKick(b []byte, m Message, seq uint8) []byte {
	m.Seq = seq
	return appendResponse(b, m, ipmb.Response{Code: ipmb.ErrInitialising})
}
