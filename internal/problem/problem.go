// Package problem has the errors that people read: what went wrong, where,
// why, and what to do about it, with the exit code that programs read.
package problem

import (
	"errors"
	"fmt"
	"strings"
)

// Code is an exit code of the midplane command.
type Code int

// Exit codes.
const (
	OK          Code = iota
	Failed           // the thing itself went wrong
	Usage            // the command line or a file cannot be understood
	NotFound         // no such shelf, slot, name or file
	Refused          // understood and not allowed
	Unavailable      // no leader, or nobody answers
	Timeout          // it took too long
)

// codeHelp is what each code means, in the order of the codes.
var codeHelp = []string{
	"ok",
	"failed",
	"usage: the command line or a file cannot be understood",
	"not found: no such shelf, slot, name or file",
	"refused: understood, and not allowed",
	"no leader, or nobody answers",
	"timeout",
}

// Help lists the exit codes, a line each.
func Help() string {
	var b strings.Builder
	for code, text := range codeHelp {
		fmt.Fprintf(&b, "  %d  %s\n", code, text)
	}
	return b.String()
}

// Error is one thing that went wrong. Only What is always there.
type Error struct {
	Code  Code
	What  string // what did not work, as a sentence without its full stop
	Where string // the file, socket or process
	Why   error  // the cause
	Do    string // what the reader can do now
}

// Error is one line: what and why. The rest is in [Error.Text].
func (e *Error) Error() string {
	if e.Why == nil {
		return e.What
	}
	return e.What + ": " + e.Why.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Why }

// Text is the whole error over several lines, without a final line break.
func (e *Error) Text() string {
	text := strings.ReplaceAll(e.Error(), "\n", "\n  ")
	if e.Where != "" {
		text += "\n  where: " + e.Where
	}
	if e.Do != "" {
		text += "\n  to do: " + e.Do
	}
	return text
}

// Text is what to tell a person about any error.
func Text(err error) string {
	var p *Error
	if !errors.As(err, &p) {
		return strings.ReplaceAll(err.Error(), "\n", "\n  ")
	}
	if before, ok := strings.CutSuffix(err.Error(), p.Error()); ok {
		return before + p.Text()
	}
	return p.Text()
}

// Usagef is a mistake in what the caller wrote.
func Usagef(format string, args ...any) error {
	return &Error{Code: Usage, What: fmt.Sprintf(format, args...)}
}

// NotFoundf says that there is no such thing, and what to do.
func NotFoundf(do, format string, args ...any) error {
	return &Error{Code: NotFound, What: fmt.Sprintf(format, args...), Do: do}
}

// Refusedf says that something is not allowed, and what to do.
func Refusedf(do, format string, args ...any) error {
	return &Error{Code: Refused, What: fmt.Sprintf(format, args...), Do: do}
}
