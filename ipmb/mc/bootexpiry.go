package mc

import "time"

// BootFlagsLast is how long boot flags stay valid that no boot uses. A Chassis
// Control starts the time anew (IPMI 2.0 table 28-14, parameter 3).
const BootFlagsLast = 60 * time.Second

// keepUnused in "valid bit clearing" leaves the boot flags valid for ever.
const keepUnused = 0x08

// expiry is when the boot flags that hold stop being valid, zero for never:
// persistent ones are for all boots, however late.
func (b *BootOptions) expiry() time.Time {
	f := b.held.flags()
	if !f.Valid() || f.Persistent() || b.held.data(bootClearing)[0]&keepUnused != 0 {
		return time.Time{}
	}
	return b.since.Add(BootFlagsLast)
}

// Expiry is when Expire takes the boot flags' valid bit away, zero for never.
func (b *BootOptions) Expiry() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.expiry()
}

// Controlled tells of a Chassis Control: who commands the chassis has not
// forgotten the flags.
func (b *BootOptions) Controlled() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.expired() {
		b.since = time.Now()
	}
}

// Expire takes the valid bit of flags whose time is over. The time is this
// process's: the next one gives what it finds valid a whole minute.
func (b *BootOptions) Expire() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.expire()
}

func (b *BootOptions) expired() bool {
	at := b.expiry()
	return !at.IsZero() && !time.Now().Before(at)
}

// expire leaves alone what awaits its commit, other flags among it.
func (b *BootOptions) expire() error {
	if !b.expired() {
		return nil
	}
	held, written := b.held, b.written
	if written.flags() == held.flags() {
		written.data(bootFlags)[0] &^= flagValid
	}
	held.data(bootFlags)[0] &^= flagValid
	if err := b.Records.Put(bootRecord, held[:]); err != nil {
		return err
	}
	b.held, b.written = held, written
	return nil
}
