package backplane

import (
	"cmp"
	"maps"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// lookAgain is how often presence is computed when nothing happens: graces end
// and members change by themselves.
const lookAgain = 500 * time.Millisecond

// entry is what is known of one slot of a shelf.
type entry struct {
	state v1.PresenceState
	epoch uint64
	name  string
	since time.Time
	here  bool   // attached to this replica
	air   uint32 // v1.Presence.airflow of a fan tray here
}

// table is the presence of a shelf, by hardware address. It is never changed.
type table [maxHW + 1]entry

// attachment is a slot that is attached to some replica.
type attachment struct {
	epoch uint64
	name  string
	here  bool
	air   uint32
}

// viewer is what the goroutine that keeps presence remembers between two looks.
type viewer struct {
	born time.Time
	seen map[slotKey]time.Time // when a slot was attached last
	told map[slotKey]uint64    // attached slots, with epoch, that the shelf manager was told of
	term uint64                // in which it was told
}

func newViewer(now time.Time) viewer {
	return viewer{born: now, seen: make(map[slotKey]time.Time), told: make(map[slotKey]uint64)}
}

// Presence gives the shelf-wide table as this replica sees it: all slots that
// are not absent.
func (s *Switch) Presence(shelf string) []*v1.Presence {
	t := (*s.tables.Load())[shelf]
	if t == nil {
		return nil
	}
	return t.changes(&table{})
}

// lookup gives a slot's entry. Of shelves and slots that nobody spoke of
// nothing is known: they are absent.
func (s *Switch) lookup(k slotKey) entry {
	if t := (*s.tables.Load())[k.shelf]; t != nil {
		return t[k.hw]
	}
	return entry{state: v1.PresenceState_PRESENCE_STATE_ABSENT}
}

// peerWith finds a replica that has a slot attached, the latest claim's first.
func (s *Switch) peerWith(k slotKey) *peer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var best *peer
	var bestEpoch uint64
	for name, c := range s.callers {
		epoch, ok := c.has[k]
		if p := s.peers[name]; ok && p != nil && p.link.Load() != nil && (best == nil || epoch > bestEpoch) {
			best, bestEpoch = p, epoch
		}
	}
	return best
}

// keepPresence owns the presence tables: it alone computes and announces them.
func (s *Switch) keepPresence() {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		if all := s.cfg.Replicas(); len(all) > 0 { // none: they are not known right now
			s.meetPeers(all)
		}
		s.look(time.Now())
		select {
		case <-s.kicked:
		case <-tick.C:
		case <-s.ctx.Done():
			s.meetPeers(nil)
			return
		}
	}
}

// look computes presence and announces what changed.
func (s *Switch) look(now time.Time) {
	all := s.attachments()
	tables := s.compute(all, now)
	s.tables.Store(&tables)
	for _, p := range s.attached() {
		s.endIfOver(p, all[p.slotKey].epoch)
		p.announce(tables[p.shelf])
	}
	s.tellPeers()
	s.tellBrain(all)
}

// attachments gathers who is attached here and, by what they say, to the other
// replicas. The latest claim of a slot counts.
func (s *Switch) attachments() map[slotKey]attachment {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make(map[slotKey]attachment, len(s.ports))
	for k, p := range s.ports {
		all[k] = attachment{epoch: p.epoch, name: p.name, here: true, air: p.air.Load()}
	}
	for _, c := range s.callers {
		for k, epoch := range c.has {
			if a, ok := all[k]; !ok || a.epoch < epoch {
				all[k] = attachment{epoch: epoch, name: a.name}
			}
		}
	}
	return all
}

// compute makes the tables of all shelves that somebody is attached to, or
// was. A table that did not change keeps its identity.
func (s *Switch) compute(all map[slotKey]attachment, now time.Time) map[string]*table {
	before := *s.tables.Load()
	after := maps.Clone(before)
	for k := range all {
		s.view.seen[k] = now
		if after[k.shelf] == nil {
			after[k.shelf] = &table{}
		}
	}
	for shelf := range after {
		var t table
		for hw := range t {
			k := slotKey{shelf, uint8(hw)}
			a, ok := all[k]
			t[hw] = s.entry(k, a, ok, now)
			if old := after[shelf][hw]; old.state == t[hw].state {
				t[hw].since = old.since
			}
		}
		if before[shelf] == nil || *before[shelf] != t {
			after[shelf] = &t
		}
	}
	return after
}

// entry judges one slot: present while it is attached anywhere, lost for the
// grace while its claim goes on, else absent.
func (s *Switch) entry(k slotKey, a attachment, attached bool, now time.Time) entry {
	c := s.cfg.Slot(k.shelf, k.hw)
	e := entry{state: v1.PresenceState_PRESENCE_STATE_ABSENT, since: now, name: cmp.Or(a.name, c.Name), epoch: max(a.epoch, c.Epoch), here: a.here, air: a.air}
	lost := c.LostSince
	if seen := s.view.seen[k]; seen.After(lost) {
		lost = seen
	}
	if lost.IsZero() {
		lost = s.view.born
	}
	switch {
	case attached:
		e.state = v1.PresenceState_PRESENCE_STATE_PRESENT
	case c.Held && now.Sub(lost) < s.cfg.Grace:
		e.state = v1.PresenceState_PRESENCE_STATE_LOST
	}
	return e
}

// endIfOver ends the stream of a claim that another one followed.
func (s *Switch) endIfOver(p *port, attached uint64) {
	c := s.cfg.Slot(p.shelf, p.hw)
	if c.Epoch <= p.epoch && attached <= p.epoch {
		return
	}
	p.end(claimant{string(c.Instance[:]), c.Boot})
}

// announce tells a node what changed since it was told last, or everything.
func (p *port) announce(t *table) {
	if t == nil || t == p.told {
		return
	}
	msg := &v1.PresenceTable{Complete: p.told == nil}
	if msg.Complete {
		msg.Entries = t.changes(&table{})
	} else {
		msg.Entries = t.changes(p.told)
	}
	p.told = t
	p.link.Send(&v1.AttachResponse{Kind: &v1.AttachResponse_Presence{Presence: msg}})
}

// changes lists the entries that differ from an older table; against an empty
// one, those that are not absent.
func (t *table) changes(old *table) []*v1.Presence {
	var out []*v1.Presence
	for hw, e := range t {
		o := old[hw]
		fresh := o.state == v1.PresenceState_PRESENCE_STATE_UNSPECIFIED && e.state == v1.PresenceState_PRESENCE_STATE_ABSENT
		if e != o && !fresh {
			out = append(out, &v1.Presence{
				Address: uint32(ipmb.AddrFromHW(uint8(hw))), State: e.state, Name: e.name,
				Since: e.since.UnixNano(), Epoch: e.epoch, Here: e.here, Airflow: e.air,
			})
		}
	}
	return out
}

// tellPeers tells the other replicas who is attached here, whole shelves at a
// time, when it changed or the stream is new.
func (s *Switch) tellPeers() {
	here := make(presenceOf)
	for _, p := range s.attached() {
		here[p.slotKey] = p.epoch
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, p := range s.peers {
		p.tell(here)
	}
}

func (p *peer) tell(here presenceOf) {
	l := p.link.Load()
	if l == nil || l == p.toldOn && maps.Equal(here, p.told) {
		return
	}
	tables := make(map[string]*v1.PresenceTable)
	for k := range p.told { // a shelf that has nobody left is told too
		tables[k.shelf] = &v1.PresenceTable{Complete: true, Shelf: k.shelf}
	}
	for k, epoch := range here {
		if tables[k.shelf] == nil {
			tables[k.shelf] = &v1.PresenceTable{Complete: true, Shelf: k.shelf}
		}
		t := tables[k.shelf]
		t.Entries = append(t.Entries, &v1.Presence{
			Address: uint32(ipmb.AddrFromHW(k.hw)), State: v1.PresenceState_PRESENCE_STATE_PRESENT, Epoch: epoch, Here: true,
		})
	}
	for _, t := range tables {
		l.Send(&v1.RelayRequest{Kind: &v1.RelayRequest_Presence{Presence: t}})
	}
	p.told, p.toldOn = here, l
}

// tellBrain tells the shelf manager here, if it leads, who came and went. A new
// term begins with everybody who is attached.
func (s *Switch) tellBrain(all map[slotKey]attachment) {
	term, ok := s.leads()
	if !ok || term != s.view.term {
		clear(s.view.told)
		s.view.term = term
	}
	if !ok {
		return
	}
	for k, epoch := range s.view.told {
		if a, still := all[k]; !still || a.epoch != epoch {
			delete(s.view.told, k)
			s.cfg.Brain.Attached(k.shelf, k.hw, epoch, false)
		}
	}
	for k, a := range all {
		if _, ok := s.view.told[k]; !ok {
			s.view.told[k] = a.epoch
			s.cfg.Brain.Attached(k.shelf, k.hw, a.epoch, true)
		}
	}
}
