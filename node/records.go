package node

import (
	"bytes"
	"errors"
	"strings"

	"github.com/midplane-project/midplane/internal/kv"
)

// bucketRecords has what the parts of the controller keep.
const bucketRecords = "mc"

// records keeps what the parts of the controller must not forget (mc.Records).
type records struct{ db *kv.DB }

// Get implements mc.Records.
func (r records) Get(name string) (value []byte, err error) {
	err = r.db.View(func(tx *kv.Tx) error {
		b, err := tx.Bucket(bucketRecords)
		if err != nil {
			return err
		}
		value, err = b.Get([]byte(name))
		return err
	})
	return value, err
}

// Put implements mc.Records.
func (r records) Put(name string, value []byte) error {
	return r.PutAll(map[string][]byte{name: append([]byte{}, value...)})
}

// PutAll implements mc.Records.
func (r records) PutAll(values map[string][]byte) error {
	return r.db.Batch(func(tx *kv.Tx) error {
		b, err := tx.Bucket(bucketRecords)
		if err != nil {
			return err
		}
		for name, v := range values {
			if v == nil {
				err = b.Delete([]byte(name))
			} else {
				err = b.Put([]byte(name), v)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Delete implements mc.Records.
func (r records) Delete(name string) error {
	return r.PutAll(map[string][]byte{name: nil})
}

// Each implements mc.Records. f may use the records itself.
func (r records) Each(prefix string, f func(name string, value []byte) bool) error {
	type record struct {
		name  string
		value []byte
	}
	var found []record
	err := r.db.View(func(tx *kv.Tx) error {
		b, err := tx.Bucket(bucketRecords)
		if err != nil {
			return err
		}
		return b.Each([]byte(prefix), func(key, value []byte) bool {
			if !strings.HasPrefix(string(key), prefix) {
				return false
			}
			found = append(found, record{string(key), bytes.Clone(value)})
			return true
		})
	})
	if err != nil {
		return err
	}
	for _, one := range found {
		if !f(one.name, one.value) {
			break
		}
	}
	return nil
}

// corrupt names the records that do not match their checksums.
func (r records) corrupt() (names []string, err error) {
	err = r.db.View(func(tx *kv.Tx) error {
		b, err := tx.Bucket(bucketRecords)
		if err != nil {
			return err
		}
		var from []byte
		for {
			var bad *kv.CorruptError
			err := b.Each(from, func(_, _ []byte) bool { return true })
			if !errors.As(err, &bad) {
				return err
			}
			names = append(names, string(bad.Key))
			from = append(bytes.Clone(bad.Key), 0)
		}
	})
	return names, err
}
