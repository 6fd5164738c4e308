package mc

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/midplane-project/midplane/ipmb"
)

// Completion codes of Set Channel Security Keys (IPMI 2.0 §22.25).
const (
	ErrKeyLocked ipmb.CompletionCode = 0x80
	ErrKeyShort  ipmb.CompletionCode = 0x81
	ErrKeyLong   ipmb.CompletionCode = 0x82
)

// KeyID names one of the keys of a channel.
type KeyID uint8

// Keys of a channel.
const (
	KeyR KeyID = 0 // K_R: for the controller's random numbers
	KeyG KeyID = 1 // K_G: the controller's half of a two-key login
)

// ChannelKeyLen is the length of a channel's keys in bytes.
const ChannelKeyLen = 20

// Operations and lock states of Set Channel Security Keys.
const (
	keyRead = 0
	keySet  = 1
	keyLock = 2

	keyIsLocked   = 1
	keyIsUnlocked = 2
)

// ChannelKeys keeps the security keys of the channels with sessions, sealed. A
// key that nobody set is all zero.
type ChannelKeys struct {
	channels *ChannelAccess
	records  Records
	sealer   *Sealer
	mu       sync.Mutex // of a read, a decision and a write
}

// NewChannelKeys gives the keys that are in the records.
func NewChannelKeys(channels *ChannelAccess, r Records, s *Sealer) *ChannelKeys {
	return &ChannelKeys{channels: channels, records: r, sealer: s}
}

func keyRecord(channel uint8, id KeyID) string { return fmt.Sprintf("key/%d/%d", channel, id) }

// Key gives a channel's key, all zero if nobody set it.
func (k *ChannelKeys) Key(channel uint8, id KeyID) ([]byte, error) {
	key, _, err := k.load(channel, id)
	return key, err
}

// load reads a key: its record is the lock and the sealed bytes.
func (k *ChannelKeys) load(channel uint8, id KeyID) (key []byte, locked bool, err error) {
	name := keyRecord(channel, id)
	v, err := k.records.Get(name)
	if err != nil || v == nil {
		return make([]byte, ChannelKeyLen), false, err
	}
	if len(v) < 1 {
		return nil, false, errors.New("record of a channel's key is empty")
	}
	if key, err = k.sealer.Open(name, v[1:]); err == nil && len(key) != ChannelKeyLen {
		err = fmt.Errorf("key %s has %d bytes, want %d", name, len(key), ChannelKeyLen)
	}
	return key, v[0] != 0, err
}

func (k *ChannelKeys) save(channel uint8, id KeyID, key []byte, locked bool) error {
	name := keyRecord(channel, id)
	sealed, err := k.sealer.Seal(name, key)
	if err != nil {
		return err
	}
	lock := byte(0)
	if locked {
		lock = 1
	}
	return k.records.Put(name, append([]byte{lock}, sealed...))
}

// Commands gives Set Channel Security Keys.
func (k *ChannelKeys) Commands() []ipmb.Command {
	return []ipmb.Command{{
		Name: "Set Channel Security Keys", NetFn: ipmb.NetFnApp, Cmd: 0x56, Privilege: ipmb.PrivilegeAdmin,
		Data: ipmb.AtLeast(3), Effect: true, Ref: "IPMI 2.0 §22.25", Do: k.do,
	}}
}

func (k *ChannelKeys) do(_ context.Context, req *ipmb.Request) ([]byte, error) {
	n, err := k.channels.find(req, req.Data[0])
	op, id, value := req.Data[1]&0x03, KeyID(req.Data[2]), req.Data[3:]
	if err != nil || !n.Sessions || id > KeyG || op > keyLock {
		return nil, ipmb.ErrInvalidField
	}
	if op != keySet && len(value) > 0 {
		return nil, ipmb.ErrLength
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	key, locked, err := k.load(n.Number, id)
	if err != nil && op != keySet { // a key that cannot be opened can be set anew
		return nil, err
	}
	if locked {
		return k.locked(op)
	}
	switch op {
	case keyRead:
		return append([]byte{keyIsUnlocked}, key...), nil
	case keyLock:
		return []byte{keyIsLocked}, k.save(n.Number, id, key, true)
	}
	if len(value) < ChannelKeyLen {
		return nil, ErrKeyShort
	}
	if len(value) > ChannelKeyLen {
		return nil, ErrKeyLong
	}
	return []byte{keyIsUnlocked}, k.save(n.Number, id, value, false)
}

// locked answers for a key that no command reads or changes any more.
func (k *ChannelKeys) locked(op byte) ([]byte, error) {
	if op == keyRead {
		return []byte{keyIsLocked}, nil
	}
	return nil, ErrKeyLocked
}
