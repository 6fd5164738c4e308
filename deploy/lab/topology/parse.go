package topology

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/midplane-project/midplane/node/power"
)

// MaxFileLen bounds a shelf.yaml in bytes.
const MaxFileLen = 1 << 20

// Error is one mistake in a file, with its place when that is known.
type Error struct {
	File         string
	Line, Column int
	Path         string // such as $.nodes[1].slot
	Message      string
}

func (e *Error) Error() string {
	where := e.File
	if e.Line > 0 {
		where = fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
	}
	if e.Path == "" {
		return where + ": " + e.Message
	}
	return fmt.Sprintf("%s: %s: %s", where, strings.TrimPrefix(e.Path, "$."), e.Message)
}

// Load reads and checks the file at path. Relative paths in it are taken from
// the file's own directory. All mistakes found are in the error, a line each.
func Load(path string) (*Shelf, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the shelf file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFileLen+1))
	if err != nil {
		return nil, fmt.Errorf("read the shelf file: %w", err)
	}
	s, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	s.resolve(dir)
	return s, nil
}

// Parse reads and checks the text of a file called name.
func Parse(name string, data []byte) (*Shelf, error) {
	if len(data) > MaxFileLen {
		return nil, &Error{File: name, Message: fmt.Sprintf("larger than %d bytes", MaxFileLen)}
	}
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, syntaxError(name, err)
	}
	var s Shelf
	if err := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(&s); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, &Error{File: name, Message: "the file is empty; midplane init writes one to start from"}
		}
		return nil, syntaxError(name, err)
	}
	s.fill()
	if mistakes := s.check(); len(mistakes) > 0 {
		return nil, locate(name, tree, mistakes)
	}
	return &s, nil
}

// syntaxError turns a decoder's error into one line with its place.
func syntaxError(name string, err error) error {
	e := &Error{File: name, Message: err.Error()}
	var y yaml.Error
	if errors.As(err, &y) {
		e.Message = y.GetMessage()
		if t := y.GetToken(); t != nil && t.Position != nil {
			e.Line, e.Column = t.Position.Line, t.Position.Column
		}
	}
	e.Message, _, _ = strings.Cut(e.Message, "\n")
	return e
}

// locate gives each mistake its line and column.
func locate(name string, tree *ast.File, mistakes []mistake) error {
	var all []error
	for _, m := range mistakes {
		e := &Error{File: name, Path: m.path, Message: m.message}
		e.Line, e.Column = position(tree, m.path)
		all = append(all, e)
	}
	return errors.Join(all...)
}

// position finds a path in the file, or the nearest thing around it.
func position(tree *ast.File, path string) (line, column int) {
	for path != "" && path != "$" {
		if p, err := yaml.PathString(path); err == nil {
			if n, err := p.FilterFile(tree); err == nil && n != nil && n.GetToken() != nil {
				at := n.GetToken().Position
				return at.Line, at.Column
			}
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 1, 1
}

// resolve makes the paths in the file absolute.
func (s *Shelf) resolve(dir string) {
	for i := range s.Nodes {
		n := &s.Nodes[i]
		for _, p := range []*string{
			&n.VMSocket.Path, &n.QEMU.Kernel, &n.QEMU.Initrd, &n.QEMU.Modules, &n.QEMU.Disk.Base, &n.QEMU.Disk.Overlay,
		} {
			if *p != "" && !filepath.IsAbs(*p) {
				*p = filepath.Join(dir, *p)
			}
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
