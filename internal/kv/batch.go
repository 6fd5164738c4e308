package kv

// job is one caller's part of a shared transaction.
type job struct {
	f   func(*Tx) error
	err *error
}

// Batch is Update for many goroutines at once: those who come while an fsync
// is under way share the next one. Unlike bbolt's own Batch it does not wait
// 10 ms for others to come: a guest waits for its answer. f may run more than
// once and must bear it.
func (db *DB) Batch(f func(*Tx) error) error {
	var err error
	db.group.Do(job{f, &err}, db.commit)
	return err
}

// commit does all jobs in one transaction or, when one of them fails, each in
// its own, so that it fails alone.
func (db *DB) commit(jobs []job) {
	err := db.Update(func(tx *Tx) error {
		for _, j := range jobs {
			if err := j.f(tx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, j := range jobs {
		if err != nil && len(jobs) > 1 {
			*j.err = db.Update(j.f)
		} else {
			*j.err = err
		}
	}
}
