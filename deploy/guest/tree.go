package guest

import (
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
)

// tree is the guest's root file system, by path without a leading slash.
type tree map[string]node

type node struct {
	mode fs.FileMode
	data []byte // contents, or a symlink's target
}

func (t tree) dir(name string) {
	if _, ok := t[name]; ok || name == "." {
		return
	}
	t.dir(path.Dir(name))
	t[name] = node{mode: fs.ModeDir | 0o755}
}

func (t tree) file(name string, perm fs.FileMode, data []byte) {
	t.dir(path.Dir(name))
	t[name] = node{mode: perm, data: data}
}

func (t tree) symlink(name, target string) {
	t.dir(path.Dir(name))
	t[name] = node{mode: fs.ModeSymlink | 0o777, data: []byte(target)}
}

// copyFile reads a host file, following symlinks, and keeps its permissions.
func (t tree) copyFile(name, from string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	t.file(name, info.Mode().Perm(), data)
	return nil
}

// writeTo writes the tree as a cpio archive, folders before what is in them. It
// is not packed: to unpack it takes a guest without KVM a second.
func (t tree) writeTo(w io.Writer) error {
	archive := cpioWriter{w: w}
	for _, name := range slices.Sorted(maps.Keys(t)) {
		archive.entry(name, cpioMode(t[name].mode), t[name].data)
	}
	return archive.close()
}
