package qmp

import "errors"

// ErrClosed is what callers get once the connection has ended, beside the reason.
var ErrClosed = errors.New("qmp: connection closed")

// An Error is QEMU's refusal of a command.
type Error struct {
	Class string `json:"class"` // GenericError, CommandNotFound, …
	Desc  string `json:"desc"`  // QEMU's own words
}

// Error prints QEMU's words.
func (e *Error) Error() string { return "qemu: " + e.Desc }
