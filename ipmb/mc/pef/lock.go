package pef

// lock is a mutex that is held while a record is written. Writes may share a
// batch, for which they wait by the clock; and who waits for a sync.Mutex
// keeps a clock of testing/synctest from going on.
type lock chan struct{}

func newLock() lock { return make(lock, 1) }

// Lock implements sync.Locker.
func (l lock) Lock() { l <- struct{}{} }

// Unlock implements sync.Locker.
func (l lock) Unlock() { <-l }
