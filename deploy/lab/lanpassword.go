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

// passwordPath has the password of a controller's first administrator.
func (l *Lab) passwordPath(t Target) string {
	if t.Shelf {
		return l.LANPasswordPath()
	}
	return l.nodePasswordPath(t.Name)
}

// ensurePasswords makes the password of the shelf's doors once, and gives it to
// nodes that have none; those that have one of their own make it themselves. It gives the password when it is new.
func (l *Lab) ensurePasswords() (fresh string, err error) {
	doors, own := l.lanDoors(), l.Topology.LAN.Password == topology.PasswordOwn
	if len(doors) == 0 || own && !doors[0].target.Shelf {
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
		path := l.passwordPath(d.target)
		if own || exists(path) {
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
		o.Say("✓ %s: user %s, password in %s", l.whoseDoors(), node.LANUser, l.LANPasswordPath())
	default:
		o.Say("✓ %s: user %s, password %s (shown this once; it is in %s)", l.whoseDoors(), node.LANUser, fresh, l.LANPasswordPath())
	}
	return nil
}

// whoseDoors says which doors begin with the password.
func (l *Lab) whoseDoors() string {
	if l.Topology.LAN.Password == topology.PasswordOwn {
		return "the shelf's LAN door"
	}
	return "LAN doors"
}
