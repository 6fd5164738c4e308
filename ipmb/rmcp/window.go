package rmcp

// windowSize is how far a sequence number may be behind or ahead of the
// highest one (IPMI 2.0 §6.12.13: 16 each way in RMCP+).
const windowSize = 16

// narrowWindow is that of IPMI 1.5 (§6.12.12).
const narrowWindow = 8

// window is which sequence numbers of a session came. The zero window is that
// of a new session, whose first number is 1.
type window struct {
	highest uint32
	seen    uint32 // bit i: highest−i came
	// leaps: some that came are not known here, so a number may be far ahead.
	leaps  bool
	narrow bool
}

// startWindow is that of an IPMI 1.5 session whose first number is to be first.
func startWindow(first uint32) window {
	return window{highest: first - 1, seen: ^uint32(0), narrow: true}
}

func (w window) size() int32 {
	if w.narrow {
		return narrowWindow
	}
	return windowSize
}

// resumed is the window of a session of which all up to highest came elsewhere,
// and perhaps more.
func resumed(highest uint32) window { return window{highest: highest, seen: ^uint32(0), leaps: true} }

// accept gives the window after a packet; ok is false for one that came before
// or is too far away. Numbers go round and leave 0 out.
func (w window) accept(seq uint32) (_ window, ok bool) {
	if seq == 0 {
		return w, false
	}
	if w.highest == 0 {
		w.seen = ^uint32(0) // none comes before the first
	}
	switch ahead := int32(seq - w.highest); {
	case ahead > w.size() && !w.leaps, ahead < -w.size():
		return w, false
	case ahead > 0:
		w.highest, w.seen = seq, w.seen<<uint(ahead)|1
		return w, true
	default:
		bit := uint32(1) << uint(-ahead)
		if w.seen&bit != 0 {
			return w, false
		}
		w.seen |= bit
		return w, true
	}
}
