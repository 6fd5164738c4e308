package state

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Bounds of the records of a shelf's controller at 0x20. A record that would
// be too much is refused, and with it all that it came with.
const (
	maxRecords     = 1024
	maxRecordName  = 64
	maxRecordValue = 128 << 10
	maxRecordBytes = 4 << 20 // names and values together
)

// records are what the parts of the controller at 0x20 keep, as those of a
// node keep theirs in its store. A value never changes in place.
type records struct {
	values map[string][]byte
	size   int
}

// putRecords puts and deletes all that it names, or nothing.
func (s *shelf) putRecords(c *v1.PutRecords) *v1.Answer {
	next := records{maps.Clone(s.records.values), s.records.size}
	for _, name := range c.GetDelete() {
		next.remove(name)
	}
	for _, r := range c.GetPut() {
		if n := len(r.GetName()); n == 0 || n > maxRecordName || len(r.GetValue()) > maxRecordValue {
			return invalid("a record's name has 1 to %d bytes and its value up to %d", maxRecordName, maxRecordValue)
		}
		next.put(r.GetName(), r.GetValue())
	}
	if len(next.values) > maxRecords || next.size > maxRecordBytes {
		return &v1.Answer{CompletionCode: uint32(ipmb.ErrOutOfSpace), Refusal: fmt.Sprintf("the controller of a shelf keeps at most %d records of %d bytes together", maxRecords, maxRecordBytes)}
	}
	s.records = next
	return &v1.Answer{Data: bytes.Clone(c.GetResponse())}
}

func (r *records) put(name string, value []byte) {
	r.remove(name)
	if r.values == nil {
		r.values = make(map[string][]byte)
	}
	r.values[name] = append([]byte{}, value...)
	r.size += len(name) + len(value)
}

func (r *records) remove(name string) {
	if old, ok := r.values[name]; ok {
		r.size -= len(name) + len(old)
		delete(r.values, name)
	}
}

// message lists the records in order of their names.
func (r *records) message() (list []*v1.NamedRecord) {
	for _, name := range slices.Sorted(maps.Keys(r.values)) {
		list = append(list, &v1.NamedRecord{Name: name, Value: r.values[name]})
	}
	return list
}

func (s *shelf) restoreRecords(list []*v1.NamedRecord) error {
	last := ""
	for _, r := range list {
		if r.GetName() <= last {
			return fmt.Errorf("record %q is out of order", r.GetName())
		}
		last = r.GetName()
	}
	if a := s.putRecords(&v1.PutRecords{Put: list}); a.GetCompletionCode() != uint32(ipmb.OK) {
		return fmt.Errorf("records: %s", a.GetRefusal())
	}
	return nil
}
