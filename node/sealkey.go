package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// sealKey is the path of the store whose secrets a key seals. The key is in a
// file of its own beside it: who gets hold of a copy of the store has no
// passwords.
type sealKey string

func (s sealKey) path() string { return string(s) + ".key" }

// read gives the key. At its first use it is made, and on disk before anything
// is sealed with it.
func (s sealKey) read() ([]byte, error) {
	key, err := os.ReadFile(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return s.create()
	}
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(s.path())
	if err != nil {
		return nil, err
	}
	if open := info.Mode().Perm() &^ 0o600; open != 0 {
		return nil, fmt.Errorf("%s: others may use it (mode %v); make it 0600", s.path(), info.Mode().Perm())
	}
	return key, nil
}

func (s sealKey) create() ([]byte, error) {
	key := make([]byte, mc.SealKeyLen)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	if err := jsonfile.Replace(s.path(), key); err != nil {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(s.path()))
	if err != nil {
		return nil, err
	}
	return key, errors.Join(dir.Sync(), dir.Close())
}
