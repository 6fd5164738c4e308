package node

import (
	"encoding/binary"
	"fmt"

	"github.com/google/uuid"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Names in the node's store.
const (
	bucketNode = "node"
	bucketSEL  = "sel"

	keyInstance = "instance"
	keyBoot     = "boot"
	keyEnables  = "enables"
	keyReceiver = "receiver"
	keySEL      = "sel"
	keyWanted   = "power"
	keyGranted  = "granted"
	keyRecord   = "sdr"
)

// store is what a node keeps on disk about itself.
type store struct{ db *kv.DB }

// settings is what a node finds of its former self.
type settings struct {
	instance uuid.UUID // of this state directory, for ever
	boot     uint64    // counts starts, from 1
	enables  byte
	receiver mc.Receiver
	wanted   bool // the VM should have power
	granted  bool // the shelf lets it have power
}

// start reads the settings and counts one more start.
func (s store) start() (out settings, err error) {
	out = settings{enables: defaultEnables, receiver: mc.Receiver{Addr: mc.ReceiverNone}, wanted: true, granted: true}
	err = s.db.Update(func(tx *kv.Tx) error {
		b, err := tx.Bucket(bucketNode)
		if err != nil {
			return err
		}
		return out.load(b)
	})
	if err == nil {
		err = s.db.Sync() // others may hear of no start twice
	}
	if err != nil {
		return settings{}, fmt.Errorf("read the node's store: %w", err)
	}
	return out, nil
}

func (o *settings) load(b *kv.Bucket) error {
	fields := []struct {
		key  string
		size int
		take func([]byte)
	}{
		{keyInstance, len(o.instance), func(v []byte) { o.instance = uuid.UUID(v) }},
		{keyBoot, 8, func(v []byte) { o.boot = binary.BigEndian.Uint64(v) }},
		{keyEnables, 1, func(v []byte) { o.enables = v[0] }},
		{keyWanted, 1, func(v []byte) { o.wanted = v[0] != 0 }},
		{keyGranted, 1, func(v []byte) { o.granted = v[0] != 0 }},
		{keyReceiver, 2, func(v []byte) { o.receiver = mc.Receiver{Addr: ipmb.Addr(v[0]), LUN: ipmb.LUN(v[1])} }},
	}
	for _, f := range fields {
		v, err := b.Get([]byte(f.key))
		if err != nil {
			return err
		}
		if v == nil {
			continue
		}
		if len(v) != f.size {
			return fmt.Errorf("record %s has %d bytes, want %d", f.key, len(v), f.size)
		}
		f.take(v)
	}
	if o.instance == uuid.Nil {
		o.instance = uuid.New()
		if err := b.Put([]byte(keyInstance), o.instance[:]); err != nil {
			return err
		}
	}
	o.boot++
	return b.Put([]byte(keyBoot), binary.BigEndian.AppendUint64(nil, o.boot))
}

// get gives a setting, nil when there is none.
func (s store) get(key string) (value []byte, err error) {
	err = s.db.View(func(tx *kv.Tx) error {
		b, err := tx.Bucket(bucketNode)
		if err != nil {
			return err
		}
		value, err = b.Get([]byte(key))
		return err
	})
	return value, err
}

func (s store) put(key string, value []byte) error {
	return s.db.Update(func(tx *kv.Tx) error {
		b, err := tx.Bucket(bucketNode)
		if err != nil {
			return err
		}
		return b.Put([]byte(key), value)
	})
}

func (s store) saveEnables(e byte) error { return s.put(keyEnables, []byte{e}) }

func (s store) saveReceiver(r mc.Receiver) error {
	return s.put(keyReceiver, []byte{byte(r.Addr), byte(r.LUN)})
}

func (s store) saveWanted(on bool) error { return s.put(keyWanted, flag(on)) }

func (s store) saveGranted(granted bool) error { return s.put(keyGranted, flag(granted)) }

func flag(on bool) []byte {
	if on {
		return []byte{1}
	}
	return []byte{0}
}
