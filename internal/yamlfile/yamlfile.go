// Package yamlfile reads YAML that people write: strictly, and with the place
// of each mistake.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// MaxLen bounds a file in bytes.
const MaxLen = 1 << 20

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

// Mistake is what is wrong at a path such as $.nodes[1].slot.
type Mistake struct{ Path, Message string }

// File is a file that was read.
type File struct {
	name string
	tree *ast.File
}

// Read gives the text of a file, of which no more than one byte beyond MaxLen.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxLen+1))
}

// Decode reads the text of a file called name. Unknown fields are mistakes. The
// error is an *Error, or io.EOF for a text without anything.
func Decode(name string, data []byte, into any) (*File, error) {
	if len(data) > MaxLen {
		return nil, &Error{File: name, Message: fmt.Sprintf("larger than %d bytes", MaxLen)}
	}
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, syntaxError(name, err)
	}
	err = yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(into)
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, syntaxError(name, err)
	}
	return &File{name, tree}, nil
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

// Locate gives each mistake its line and column. Without mistakes it gives nil.
func (f *File) Locate(mistakes ...Mistake) error {
	var all []error
	for _, e := range f.Places(mistakes...) {
		all = append(all, e)
	}
	return errors.Join(all...)
}

// Places gives each its line and column, in their order.
func (f *File) Places(mistakes ...Mistake) (all []*Error) {
	for _, m := range mistakes {
		e := &Error{File: f.name, Path: m.Path, Message: m.Message}
		e.Line, e.Column = f.position(m.Path)
		all = append(all, e)
	}
	return all
}

// position finds a path in the file, or the nearest thing around it.
func (f *File) position(path string) (line, column int) {
	for path != "" && path != "$" {
		if p, err := yaml.PathString(path); err == nil {
			if n, err := p.FilterFile(f.tree); err == nil && n != nil && n.GetToken() != nil {
				at := n.GetToken().Position
				return at.Line, at.Column
			}
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 1, 1
}
