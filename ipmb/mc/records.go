package mc

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Records is where a part of a controller keeps what must outlive its process:
// values under names such as "watchdog" or "fru/1", each replaced whole. What
// Put, PutAll or Delete has answered with nil is on disk, whole or not at all.
type Records interface {
	// Get gives a copy of a value, nil when there is none.
	Get(name string) ([]byte, error)
	Put(name string, value []byte) error
	// PutAll stores several values at once, a nil one removing its record:
	// after a crash either all of them are there or none.
	PutAll(values map[string][]byte) error
	// Delete removes a record; one that is not there is no error.
	Delete(name string) error
	// Each calls f for the records whose names begin with prefix, in order of
	// their names, until f returns false.
	Each(prefix string, f func(name string, value []byte) bool) error
}

// MemoryRecords is a Records without a disk. The zero value is empty.
type MemoryRecords struct {
	mu     sync.Mutex
	values map[string][]byte
}

// Get implements Records.
func (r *MemoryRecords) Get(name string) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.values[name]), nil
}

// Put implements Records.
func (r *MemoryRecords) Put(name string, value []byte) error {
	return r.PutAll(map[string][]byte{name: append([]byte{}, value...)})
}

// PutAll implements Records.
func (r *MemoryRecords) PutAll(values map[string][]byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.values == nil {
		r.values = make(map[string][]byte)
	}
	for name, v := range values {
		if v == nil {
			delete(r.values, name)
		} else {
			r.values[name] = bytes.Clone(v)
		}
	}
	return nil
}

// Delete implements Records.
func (r *MemoryRecords) Delete(name string) error {
	return r.PutAll(map[string][]byte{name: nil})
}

// Each implements Records.
func (r *MemoryRecords) Each(prefix string, f func(name string, value []byte) bool) error {
	r.mu.Lock()
	values := maps.Clone(r.values)
	r.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if strings.HasPrefix(name, prefix) && !f(name, bytes.Clone(values[name])) {
			return nil
		}
	}
	return nil
}
