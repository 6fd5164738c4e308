package power

import "time"

const (
	// firmwareWindow is how long of running time after a reset SeaBIOS may take to ask for its second one:
	// 24 ms where the VM has a processor, 2 s where many others want it.
	firmwareWindow = 5 * time.Second
	// burstWindow joins the requests of that one second reset, which SeaBIOS makes by two ways at once.
	burstWindow = 50 * time.Millisecond
	// relayedBurst is that where the times are not QEMU's but those at which another process told of the events:
	// 0.2 s apart where many others want the processor.
	relayedBurst = time.Second
)

// A resetFilter counts each reset once. SeaBIOS, entered with its variables already set, asks for a hard
// reset to get its ROM back, so one reset shows as two or three events (seen with QEMU 7.2: 24 ms apart,
// the third 0.15 ms later). Other firmware sends no second reset and is counted right
// as long as its guests take more than firmwareWindow to reset again.
type resetFilter struct {
	burst    time.Duration // how far apart the requests of the second reset may be seen
	armed    bool          // a reset was counted and its echo has not come
	since    time.Time     // start of the running time since that reset
	absorbed time.Time     // the last echo
}

// counts takes a RESET event and reports whether it is a new reset.
func (f *resetFilter) counts(at time.Time, guest bool) bool {
	if guest {
		if f.armed && within(f.since, at, firmwareWindow) {
			f.armed, f.absorbed = false, at
			return false
		}
		if within(f.absorbed, at, f.burst) {
			return false
		}
	}
	f.armed, f.since = true, at
	return true
}

// stopped takes a STOP event: the echo of an earlier reset comes soon or never.
func (f *resetFilter) stopped(at time.Time) {
	if f.armed && !within(f.since, at, firmwareWindow) {
		f.armed = false
	}
}

// resumed takes a RESUME event: time stood still, so the echo is as far off as it was at the stop.
func (f *resetFilter) resumed(at time.Time) {
	if f.armed {
		f.since = at
	}
}

func within(from, to time.Time, d time.Duration) bool {
	return !from.IsZero() && to.Sub(from) <= d
}
