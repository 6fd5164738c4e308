package topology

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/midplane-project/midplane/internal/yamlfile"
	"github.com/midplane-project/midplane/node"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/template"
)

// MaxFileLen bounds a shelf.yaml in bytes.
const MaxFileLen = yamlfile.MaxLen

// Error is one mistake in a file, with its place when that is known.
type Error = yamlfile.Error

// Load reads and checks the file at path, and the templates that it names.
// All mistakes found are in the error, a line each.
func Load(path string) (*Shelf, error) {
	s, file, err := read(path)
	if err == nil {
		err = s.checkTemplates(file)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Read is Load for a shelf that is there already: its templates may be gone or
// wrong by now, and that must not keep anybody from ending it.
func Read(path string) (*Shelf, error) {
	s, _, err := read(path)
	return s, err
}

// read takes relative paths from the file's own directory.
func read(path string) (*Shelf, *yamlfile.File, error) {
	data, err := yamlfile.Read(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read the shelf file: %w", err)
	}
	s, file, err := parse(path, data)
	if err != nil {
		return nil, nil, err
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, nil, err
	}
	s.resolve(dir)
	return s, file, nil
}

// Parse reads and checks the text of a file called name.
func Parse(name string, data []byte) (*Shelf, error) {
	s, _, err := parse(name, data)
	return s, err
}

func parse(name string, data []byte) (*Shelf, *yamlfile.File, error) {
	var s Shelf
	file, err := yamlfile.Decode(name, data, &s)
	if errors.Is(err, io.EOF) {
		err = &Error{File: name, Message: "the file is empty; midplane init writes one to start from"}
	}
	if err != nil {
		return nil, nil, err
	}
	s.fill()
	if err := file.Locate(s.check()...); err != nil {
		return nil, nil, err
	}
	return &s, file, nil
}

// checkTemplates reads each template once. What is wrong in one is told with
// its place there; one that cannot be read, with the first node that names it.
func (s *Shelf) checkTemplates(file *yamlfile.File) error {
	var all []error
	seen := make(map[string]bool)
	for i, n := range s.Nodes {
		if n.Template == "" || seen[n.Template] {
			continue
		}
		seen[n.Template] = true
		_, err := template.Load(n.Template)
		if mistake := new(Error); err != nil && !errors.As(err, &mistake) {
			err = file.Locate(yamlfile.Mistake{Path: fmt.Sprintf("$.nodes[%d].template", i), Message: err.Error()})
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

// resolve makes the paths in the file absolute.
func (s *Shelf) resolve(dir string) {
	for i := range s.Nodes {
		n := &s.Nodes[i]
		for _, p := range []*string{
			&n.Template, &n.VMSocket.Path, &n.QEMU.Kernel, &n.QEMU.Initrd, &n.QEMU.Modules, &n.QEMU.Disk.Base, &n.QEMU.Disk.Overlay,
		} {
			if *p != "" && !filepath.IsAbs(*p) {
				*p = filepath.Join(dir, *p)
			}
		}
		for j, p := range n.Serial {
			for _, kind := range []string{"unix:", node.SerialPTY} {
				if path, ok := strings.CutPrefix(p.Listen, kind); ok && !filepath.IsAbs(path) {
					n.Serial[j].Listen = kind + filepath.Join(dir, path)
				}
			}
		}
		if n.Console != nil && n.Console.Socket != "" && !filepath.IsAbs(n.Console.Socket) {
			n.Console.Socket = filepath.Join(dir, n.Console.Socket)
		}
		if n.Power != nil {
			n.Power = resolvePower(*n.Power, dir)
		}
	}
}

// resolvePower makes a copy, since nodes may share one of the defaults'. A
// program of a hook is a path only when it has a slash, as in a shell.
func resolvePower(x power.External, dir string) *power.External {
	if path, ok := strings.CutPrefix(x.QMP, "unix:"); ok && !filepath.IsAbs(path) {
		x.QMP = "unix:" + filepath.Join(dir, path)
	}
	if x.Hook != nil {
		h := *x.Hook
		for _, argv := range []*[]string{&h.On, &h.Off, &h.Status, &h.Reset, &h.Cycle, &h.NMI, &h.Soft} {
			if len(*argv) > 0 && strings.Contains((*argv)[0], "/") && !filepath.IsAbs((*argv)[0]) {
				*argv = append([]string{filepath.Join(dir, (*argv)[0])}, (*argv)[1:]...)
			}
		}
		x.Hook = &h
	}
	return &x
}
