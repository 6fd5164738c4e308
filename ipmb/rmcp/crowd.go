package rmcp

// crowdOut makes room in a full table for somebody who has so many sessions, and gives the handle that is free
// then, 0 for none. The session goes that said nothing for the longest time, of who has most: at least two more, so
// that two do not take it from each other in turns. One that has a request under way stays, or serial over LAN, or
// is on its way to the store.
func (t *Sessions) crowdOut(mine uint8) (handle uint8) {
	count := make(map[uint8]uint8)
	most := uint8(0)
	for _, s := range t.handles[1:] {
		if s == nil {
			continue
		}
		count[s.user]++
		most = max(most, count[s.user])
	}
	if most < mine+2 {
		return 0
	}
	var out *session
	for _, s := range t.handles[1:] {
		if s == nil || count[s.user] != most || s.busy > 0 || s.state == stateKeeping || s.hasPayload() {
			continue
		}
		if out == nil || s.last.Before(out.last) {
			out = s
		}
	}
	if out == nil {
		return 0
	}
	handle = out.handle
	t.remove(out)
	out.wipe()
	return handle
}
