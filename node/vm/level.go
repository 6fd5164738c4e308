package vm

// The two lines to the guest are state: each link is told what it does not
// yet know, and everything when it has just come. The interrupt enable goes
// first, since the attention may use it.

// command is the hardware command that shows the attention line.
func (v level) command() Command {
	switch {
	case !v.attention:
		return CommandNoAttention
	case v.interrupts:
		return CommandAttentionIRQ
	}
	return CommandAttention
}

// syncAll tells every VM of a change. The caller holds d.mu.
func (d *Door) syncAll() {
	for _, l := range d.links {
		if l.up && l.sync() {
			l.flushSoon()
		}
	}
}

// sync queues what l does not know and reports whether there was anything.
func (l *link) sync() bool {
	want, have := l.door.shown(), l.told
	if want == have {
		return false
	}
	if want.interrupts != have.interrupts {
		l.interrupts()
	}
	if want.command() != have.command() {
		if want.attention && have.attention {
			l.command(CommandNoAttention) // BT ignores a raised line that is raised again
		}
		l.command(want.command())
	}
	l.told = want
	return true
}

// tellAll queues the whole state.
func (l *link) tellAll() {
	l.told = l.door.shown()
	l.interrupts()
	l.command(l.told.command())
}

func (l *link) interrupts() {
	if l.door.level.interrupts {
		l.command(CommandEnableIRQ)
	} else {
		l.command(CommandDisableIRQ)
	}
}
