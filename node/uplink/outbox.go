package uplink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/midplane-project/midplane/internal/kv"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// MaxEvents is how many events an outbox keeps for a shelf that cannot be
// reached. The node's own log has them longer.
const MaxEvents = 10_000

// ErrOutboxFull says that an event was not taken. The oldest ones are kept: the
// shelf accepts events in order only.
var ErrOutboxFull = errors.New("uplink: outbox is full")

// Records of an outbox: its UUID, the last acknowledged number, and in a bucket
// of their own the events by number.
const (
	metaBucket  = "outbox"
	eventBucket = "outbox-events"
)

var (
	uuidKey  = []byte("uuid")
	ackedKey = []byte("acked")
)

// Outbox keeps a node's events on disk until the shelf has them.
type Outbox struct {
	db      *kv.DB
	changed chan struct{} // one slot

	mu      sync.Mutex
	id      uuid.UUID
	acked   uint64
	last    uint64
	dropped uint64
}

// OpenOutbox opens the outbox in db, or starts one. It reads all that is
// there, so that a corrupt record is found now.
func OpenOutbox(db *kv.DB) (*Outbox, error) {
	o := &Outbox{db: db, changed: make(chan struct{}, 1)}
	if err := db.Update(o.load); err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	}
	return o, nil
}

func (o *Outbox) load(tx *kv.Tx) error {
	meta, err := tx.Bucket(metaBucket)
	if err != nil {
		return err
	}
	id, err := meta.Get(uuidKey)
	if err != nil {
		return err
	}
	if id == nil {
		o.id = uuid.New()
		return meta.Put(uuidKey, o.id[:])
	}
	if o.id, err = uuid.FromBytes(id); err != nil {
		return fmt.Errorf("outbox UUID: %w", err)
	}
	acked, err := meta.Get(ackedKey)
	if err != nil {
		return err
	}
	if len(acked) == 8 {
		o.acked = binary.BigEndian.Uint64(acked)
	}
	o.last = o.acked
	events, err := tx.Bucket(eventBucket)
	if err != nil {
		return err
	}
	return events.Each(nil, func(k, _ []byte) bool {
		o.last = max(o.last, binary.BigEndian.Uint64(k))
		return true
	})
}

// UUID names the outbox to the shelf.
func (o *Outbox) UUID() uuid.UUID {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.id
}

// Append stores e as the next event and gives its number. ErrOutboxFull: it
// was not stored.
func (o *Outbox) Append(e *v1.Event) (uint64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last-o.acked >= MaxEvents {
		o.dropped++
		return 0, ErrOutboxFull
	}
	e = proto.CloneOf(e)
	e.N = o.last + 1
	if err := o.db.Update(func(tx *kv.Tx) error { return putEvent(tx, e) }); err != nil {
		return 0, fmt.Errorf("store event: %w", err)
	}
	o.last = e.N
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return e.N, nil
}

func putEvent(tx *kv.Tx, e *v1.Event) error {
	b, err := tx.Bucket(eventBucket)
	if err != nil {
		return err
	}
	raw, err := proto.Marshal(e)
	if err != nil {
		return err
	}
	return b.Put(number(e.GetN()), raw)
}

// number is the key of an event: big-endian, so that keys sort as numbers do.
func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// After gives up to limit events that follow number n, in order. They are on
// disk, also where Append does not wait for it: the shelf must never have seen
// a number that this outbox gives to another event after a loss of power.
func (o *Outbox) After(n uint64, limit int) ([]*v1.Event, error) {
	if err := o.db.Sync(); err != nil {
		return nil, fmt.Errorf("events are not on disk: %w", err)
	}
	return o.after(n, limit)
}

func (o *Outbox) after(n uint64, limit int) ([]*v1.Event, error) {
	var out []*v1.Event
	var bad error
	err := o.db.View(func(tx *kv.Tx) error {
		b, err := tx.Bucket(eventBucket)
		if err != nil {
			return err
		}
		return b.Each(number(n+1), func(_, raw []byte) bool {
			e := &v1.Event{}
			if bad = proto.Unmarshal(raw, e); bad != nil {
				return false
			}
			out = append(out, e)
			return len(out) < limit
		})
	})
	if err = errors.Join(err, bad); err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return out, nil
}

// Ack forgets the events up to number n: the shelf has them.
func (o *Outbox) Ack(n uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n <= o.acked || n > o.last {
		return nil
	}
	err := o.db.Update(func(tx *kv.Tx) error {
		meta, err := tx.Bucket(metaBucket)
		if err != nil {
			return err
		}
		events, err := tx.Bucket(eventBucket)
		if err != nil {
			return err
		}
		for k := o.acked + 1; k <= n; k++ {
			if err := events.Delete(number(k)); err != nil {
				return err
			}
		}
		return meta.Put(ackedKey, number(n))
	})
	if err != nil {
		return fmt.Errorf("acknowledge events: %w", err)
	}
	o.acked = n
	return nil
}

// Acked is the number of the last event that the shelf is known to have.
func (o *Outbox) Acked() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.acked
}

// Last is the number of the last event that was stored.
func (o *Outbox) Last() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last
}

// Dropped counts the events that found the outbox full since it was opened.
func (o *Outbox) Dropped() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dropped
}

// Changed has a value when events were stored since it was read last.
func (o *Outbox) Changed() <-chan struct{} { return o.changed }

// Renew starts over under a new UUID, with what is not acknowledged numbered
// from 1: the shelf and this outbox do not agree on the past, as after the
// restore of a backup of either.
func (o *Outbox) Renew() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	waiting, err := o.after(o.acked, MaxEvents)
	if err != nil {
		return err
	}
	id := uuid.New()
	err = o.db.Update(func(tx *kv.Tx) error {
		if err := tx.Drop(eventBucket); err != nil {
			return err
		}
		for i, e := range waiting {
			e.N = uint64(i + 1)
			if err := putEvent(tx, e); err != nil {
				return err
			}
		}
		meta, err := tx.Bucket(metaBucket)
		if err != nil {
			return err
		}
		return errors.Join(meta.Put(uuidKey, id[:]), meta.Put(ackedKey, number(0)))
	})
	if err != nil {
		return fmt.Errorf("renew outbox: %w", err)
	}
	o.id, o.acked, o.last = id, 0, uint64(len(waiting))
	return nil
}
