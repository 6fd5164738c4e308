package main

import (
	"bytes"
	"io"
)

// prefixWriter puts a prefix before every line.
type prefixWriter struct {
	w      io.Writer
	prefix string
	fresh  bool // a line begins
}

// Write implements io.Writer.
func (p *prefixWriter) Write(data []byte) (int, error) {
	var b bytes.Buffer
	for line := range bytes.Lines(data) {
		if p.fresh {
			b.WriteString(p.prefix)
		}
		b.Write(line)
		p.fresh = line[len(line)-1] == '\n'
	}
	if _, err := p.w.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(data), nil
}

// end ends the line.
func (p *prefixWriter) end() error {
	if p.fresh {
		return nil
	}
	p.fresh = true
	_, err := io.WriteString(p.w, "\n")
	return err
}
