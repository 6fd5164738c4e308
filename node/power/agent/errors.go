package agent

import "errors"

// ErrNoAgent means that nothing in the guest answers: it still boots, or runs no agent, or is paused or off.
var ErrNoAgent = errors.New("the guest agent does not answer (is the guest up, and qemu-guest-agent installed and running in it?)")

// ErrClosed is returned by every call after Close.
var ErrClosed = errors.New("guest agent client closed")

// An Error is the agent's refusal of a command.
type Error struct {
	Class string `json:"class"` // GenericError, CommandNotFound, CommandDisabled, …
	Desc  string `json:"desc"`  // the agent's own words
}

// Error prints the agent's words.
func (e *Error) Error() string { return "guest agent: " + e.Desc }
