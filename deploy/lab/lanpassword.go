package lab

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/midplane-project/midplane/deploy/lab/topology"
	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/node"
)

// LANPasswordPath has the password with which the shelf's doors begin.
func (l *Lab) LANPasswordPath() string { return filepath.Join(l.StateDir, node.LANPasswordFile) }

// nodePasswordPath has the password of a node's first administrator.
func (l *Lab) nodePasswordPath(name string) string {
	return filepath.Join(l.NodeDir(name), node.LANPasswordFile)
}

// ensurePasswords makes the password of the shelf's doors once, and gives it to
// nodes that have none. It gives the password when it is new.
func (l *Lab) ensurePasswords() (fresh string, err error) {
	doors := l.lanDoors()
	if len(doors) == 0 || l.Topology.LAN.Password == topology.PasswordOwn {
		return "", nil
	}
	have, err := os.ReadFile(l.LANPasswordPath())
	if errors.Is(err, fs.ErrNotExist) {
		fresh = node.RandomPassword()
		have = []byte(fresh + "\n")
		err = jsonfile.Replace(l.LANPasswordPath(), have)
	}
	if err != nil {
		return "", err
	}
	for _, d := range doors {
		path := l.nodePasswordPath(d.name)
		if exists(path) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fresh, err
		}
		if err := jsonfile.Replace(path, have); err != nil {
			return fresh, err
		}
	}
	return fresh, nil
}

// passwords sees to the passwords of the doors, and shows a new one, once. In
// the foreground, where what is said ends up in a log as a rule, it is not.
func (l *Lab) passwords(o UpOptions) error {
	fresh, err := l.ensurePasswords()
	switch {
	case err != nil || fresh == "":
		return err
	case o.Foreground:
		o.Say("✓ LAN doors: user %s, password in %s", node.LANUser, l.LANPasswordPath())
	default:
		o.Say("✓ LAN doors: user %s, password %s (shown this once; it is in %s)", node.LANUser, fresh, l.LANPasswordPath())
	}
	return nil
}
