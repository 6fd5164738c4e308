package mc

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// bootRecord is where the boot options are kept.
const bootRecord = "boot"

// Boot option parameters (IPMI 2.0 table 28-14).
const (
	bootSetInProgress = 0
	bootClearing      = 3 // when the BMC leaves the boot flags valid
	bootAcknowledge   = 4
	bootFlags         = 5
	bootMailbox       = 7
	bootParameters    = 8
)

const (
	bootMailboxBlocks = 5 // as many as the specification asks for
	bootMailboxBlock  = 16
)

// bootSpans are the places of the parameters' data in a bootState: partition
// selector 1, partition scan 1, valid bit clearing 1, acknowledge 2, flags 5,
// initiator info 9, mailbox 80.
var bootSpans = [bootParameters]struct{ from, to int }{
	1: {1, 2}, 2: {2, 3}, 3: {3, 4}, 4: {4, 6}, 5: {6, 11}, 6: {11, 20}, 7: {20, 100},
}

// bootState is the parameters 1 to 7 as they are kept: a byte whose bit n marks
// parameter n as invalid, or locked, and then their data.
type bootState [100]byte

func (s *bootState) data(p byte) []byte  { return s[bootSpans[p].from:bootSpans[p].to] }
func (s *bootState) invalid(p byte) bool { return s[0]&(1<<p) != 0 }

func (s *bootState) mark(p byte, invalid bool) {
	s[0] &^= 1 << p
	if invalid {
		s[0] |= 1 << p
	}
}

// flags gives the boot flags that hold: none of an invalid parameter.
func (s *bootState) flags() BootFlags {
	if s.invalid(bootFlags) {
		return BootFlags{}
	}
	return BootFlags(s.data(bootFlags))
}

// BootOptions are the system boot options of a chassis device. What is written
// between "set in progress" and "commit write" holds from the commit on, and is
// forgotten without one: over "set complete", a boot, and a restart.
type BootOptions struct {
	Records Records
	// Changed is called when other boot flags hold, or until another time; the
	// command that changed them is answered with its error.
	Changed func(context.Context) error

	mu         sync.Mutex
	held       bootState // on disk
	written    bootState // held, and what awaits its commit
	inProgress bool
	touched    bool      // flags, or how long they last, are among what is written
	since      time.Time // from when on the flags that hold have BootFlagsLast
}

// Load reads what an earlier process kept.
func (b *BootOptions) Load() error {
	v, err := b.Records.Get(bootRecord)
	if err != nil || v == nil {
		return err
	}
	if len(v) != len(b.held) {
		return fmt.Errorf("record %s has %d bytes, want %d", bootRecord, len(v), len(b.held))
	}
	b.held = bootState(v)
	b.written, b.since = b.held, time.Now()
	return nil
}

// Flags are the boot flags that hold.
func (b *BootOptions) Flags() BootFlags {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.held.flags()
	if b.expired() {
		f[0] &^= flagValid
	}
	return f
}

// Booted tells that the system boots by these flags, and for which reason. The
// controller stands in for a firmware that does not know of boot flags: it
// acknowledges them, and takes their valid bit away unless they are persistent
// or "valid bit clearing" says to leave it at such a boot.
func (b *BootOptions) Booted(by BootFlags, why BootReason) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rollBack() // a reset is a "set complete"
	next := b.held
	if f := next.flags(); !f.Valid() || f != by {
		return nil
	}
	next.data(bootAcknowledge)[1] &^= acknowledgeFirmware
	if !by.Persistent() && next.data(bootClearing)[0]&byte(why) == 0 {
		next.data(bootFlags)[0] &^= flagValid
	}
	return b.keep(next)
}

// keep stores a state, which holds then.
func (b *BootOptions) keep(next bootState) error {
	if next != b.held {
		if err := b.Records.Put(bootRecord, next[:]); err != nil {
			return err
		}
	}
	b.held, b.written = next, next
	return nil
}

// rollBack ends "set in progress" without a commit.
func (b *BootOptions) rollBack() { b.inProgress, b.touched, b.written = false, false, b.held }

// commit keeps what is written. Flags that were written, also as they were, are
// as good as new.
func (b *BootOptions) commit(next bootState) error {
	if err := b.keep(next); err != nil {
		return err
	}
	if b.touched {
		b.touched, b.since = false, time.Now()
	}
	return nil
}

// write changes a parameter, at once or with the coming commit.
func (b *BootOptions) write(p byte, invalid bool, data []byte) error {
	next := b.written
	next.mark(p, invalid)
	if len(data) > 0 {
		if err := next.put(p, data); err != nil {
			return err
		}
	}
	b.touched = b.touched || p == bootFlags || p == bootClearing
	if b.inProgress {
		b.written = next
		return nil
	}
	return b.commit(next)
}

// put takes a parameter's data.
func (s *bootState) put(p byte, data []byte) error {
	to := s.data(p)
	switch {
	case p == bootMailbox:
		return s.putBlock(data)
	case len(data) != len(to):
		return ipmb.ErrLength
	case p == bootAcknowledge: // a mask of the bits to write, which reads as zero, and the bits
		to[1] = to[1]&^data[0] | data[1]&data[0]
	default:
		copy(to, data)
	}
	return nil
}

// putBlock takes one block of the mailbox, the rest of a short one being zero.
func (s *bootState) putBlock(data []byte) error {
	n, block := int(data[0]), data[1:]
	switch {
	case n >= bootMailboxBlocks:
		return ipmb.ErrParameterRange
	case len(block) == 0 || len(block) > bootMailboxBlock:
		return ipmb.ErrLength
	}
	to := s.data(bootMailbox)[n*bootMailboxBlock:][:bootMailboxBlock]
	clear(to)
	copy(to, block)
	return nil
}

// progress values (IPMI 2.0 table 28-14, parameter 0).
const (
	progressComplete = 0
	progressWriting  = 1
	progressCommit   = 2
)

// progress takes parameter 0.
func (b *BootOptions) progress(v byte) error {
	switch v {
	case progressComplete:
		b.rollBack()
	case progressWriting:
		if b.inProgress {
			return ipmb.ErrParamInProgress
		}
		b.inProgress = true
	case progressCommit:
		if !b.inProgress {
			return ipmb.ErrState
		}
		return b.commit(b.written)
	default:
		return ipmb.ErrInvalidField
	}
	return nil
}
