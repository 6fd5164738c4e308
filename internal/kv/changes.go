package kv

import (
	"bytes"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// changes is what transactions did that bbolt does not have yet, by bucket. To
// do them once more, from any point on, changes nothing.
type changes map[string]*bucketChanges

// bucketChanges is what happened to one bucket.
type bucketChanges struct {
	dropped bool              // with all that was in it, before keys
	keys    map[string][]byte // the values put; nil: deleted
}

// bucket gives the changes of one bucket, to be added to.
func (c changes) bucket(name string) *bucketChanges {
	b := c[name]
	if b == nil {
		b = &bucketChanges{keys: make(map[string][]byte)}
		c[name] = b
	}
	return b
}

func (b *bucketChanges) drop() {
	b.dropped = true
	clear(b.keys)
}

// put refuses what bbolt would refuse later, when nobody could be told.
func (b *bucketChanges) put(key, value []byte) error {
	switch {
	case len(key) == 0:
		return bolterrors.ErrKeyRequired
	case len(key) > bolt.MaxKeySize:
		return bolterrors.ErrKeyTooLarge
	}
	b.keys[string(key)] = append([]byte{}, value...)
	return nil
}

// add does newer changes after these.
func (c changes) add(newer changes) {
	for name, n := range newer {
		b := c.bucket(name)
		if n.dropped {
			b.drop()
		}
		maps.Copy(b.keys, n.keys)
	}
}

// apply does the changes in a transaction of bbolt.
func (c changes) apply(tx *Tx) error {
	for name, n := range c {
		if n.dropped {
			if err := tx.Drop(name); err != nil {
				return err
			}
		}
		b, err := tx.Bucket(name)
		if err != nil {
			return err
		}
		for key, value := range n.keys {
			if value == nil {
				err = b.Delete([]byte(key))
			} else {
				err = b.Put([]byte(key), value)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// empty reports whether nothing was changed.
func (c changes) empty() bool {
	for _, b := range c {
		if b.dropped || len(b.keys) > 0 {
			return false
		}
	}
	return true
}

// changed gives what the changes say of key, nil for one that is not there. ok:
// they say something, and what bbolt has does not count.
func (b *Bucket) changed(key []byte) (value []byte, ok bool) {
	for _, c := range b.over {
		if v, ok := c.keys[string(key)]; ok {
			return v, true
		}
		if c.dropped {
			return nil, true
		}
	}
	return nil, false
}

// changedKeys gives the keys from from on of which the changes say something,
// in order. dropped: nothing else is there.
func (b *Bucket) changedKeys(from []byte) (keys []string, dropped bool) {
	for _, c := range b.over {
		for k := range c.keys {
			if k >= string(from) {
				keys = append(keys, k)
			}
		}
		if c.dropped {
			dropped = true
			break
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), dropped
}

// eachChanged is Each over bbolt's records and the changes.
func (b *Bucket) eachChanged(from []byte, f func(key, value []byte) bool) error {
	keys, dropped := b.changedKeys(from)
	var c *bolt.Cursor
	var k, raw []byte
	if b.b != nil && !dropped {
		c = b.b.Cursor()
		k, raw = c.Seek(from)
	}
	for k != nil || len(keys) > 0 {
		key, value := k, []byte(nil)
		if len(keys) > 0 && (k == nil || keys[0] <= string(k)) {
			key = []byte(keys[0])
			value, _ = b.changed(key)
			keys = keys[1:]
		} else {
			var err error
			if value, err = b.check(k, raw); err != nil {
				return err
			}
		}
		if value != nil && !f(key, value) {
			return nil
		}
		if k != nil && bytes.Equal(key, k) {
			k, raw = c.Next()
		}
	}
	return nil
}
