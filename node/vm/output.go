package vm

import "time"

// Whoever has something to send queues it under door.mu; the first of them
// writes, also for those who come meanwhile. A hardware command that a
// handler causes waits in the queue for the handler's answer, so that both
// leave in one write and in this order; if the handler is slow it goes alone.

// command queues a hardware command.
func (l *link) command(c Command, args ...byte) {
	l.out = AppendCommand(l.out, c, args...)
	if l.door.cfg.Tap != nil {
		l.door.tap(ToGuest, nil, c.String())
	}
}

// flushSoon writes the queue now, or with the answer that is being made.
func (l *link) flushSoon() {
	if l.turn == nil {
		l.flush()
	}
}

// flush writes the queue. The caller holds door.mu, which is free during the write.
func (l *link) flush() {
	if l.writing {
		l.limitQueue()
		return
	}
	d := l.door
	if !l.usable() {
		l.out = l.out[:0]
	}
	l.writing = true
	for len(l.out) > 0 && l.usable() {
		b := l.out
		l.out = l.spare[:0]
		d.arm()
		d.mu.Unlock()
		_, err := l.io.Write(b)
		d.mu.Lock()
		l.spare = b[:0]
		if err != nil {
			l.fail(err)
		}
	}
	l.writing = false
	if l.limited {
		l.limited = false
		_ = l.conn.SetWriteDeadline(time.Time{})
	}
	d.notify()
}

// limitQueue gives up on a peer that lets the queue grow.
func (l *link) limitQueue() {
	if len(l.out) > maxQueued {
		l.out = l.out[:0]
		l.fail(errPeerStuck)
	}
}

// fail ends a link that cannot be written; its reader notices by the close.
func (l *link) fail(err error) {
	l.die(err)
	_ = l.conn.Close()
}
