// Package logtest keeps what daemons log, for tests that look at it.
package logtest

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// Book is a log that may be read while it is written. Its zero value is empty.
type Book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements [io.Writer].
func (b *Book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String is all that was logged.
func (b *Book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Take gives the lines with a text in them, and begins the book anew.
func (b *Book) Take(with string) (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.text.String()) {
		if strings.Contains(line, with) {
			out = append(out, line)
		}
	}
	b.text.Reset()
	return out
}

// Logger writes into the book what is of a level or above it.
func (b *Book) Logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: level}))
}
