package node

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/midplane-project/midplane/internal/kv"
)

// openStore opens a node's store and reads all of it: what is damaged must be
// known before the controller acts on the rest.
func openStore(dir string, o kv.Options) (*kv.DB, error) {
	db, err := kv.OpenWith(filepath.Join(dir, storeFile), o)
	if err == nil {
		if err = db.Verify(); err != nil {
			err = errors.Join(err, db.Close())
		}
	}
	if damaged(err) {
		err = fmt.Errorf("%w; midplane node repair --dir %s keeps what checks out and saves the rest aside", err, dir)
	}
	if err != nil {
		return nil, err
	}
	return db, nil
}

func damaged(err error) bool {
	var corrupt *kv.CorruptError
	return errors.As(err, &corrupt) || errors.Is(err, kv.ErrDamaged) ||
		errors.Is(err, bolterrors.ErrInvalid) || errors.Is(err, bolterrors.ErrChecksum) || errors.Is(err, bolterrors.ErrVersionMismatch)
}

// Repair mends the store in a node's directory, while no node uses it: see
// kv.Repair. What was under way on the bus has checksums of its own and mends
// itself.
func Repair(dir string) (kv.Repaired, error) {
	return kv.Repair(filepath.Join(dir, storeFile), time.Now())
}
