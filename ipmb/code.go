package ipmb

import (
	"context"
	"errors"
	"fmt"
)

// CompletionCode is the first byte of every response. It is an error type:
// handlers return it, and the mux maps it to the wire once.
type CompletionCode uint8

// Generic completion codes (IPMI 2.0 table 5-2).
const (
	OK                   CompletionCode = 0x00
	ErrBusy              CompletionCode = 0xC0
	ErrInvalidCommand    CompletionCode = 0xC1
	ErrInvalidForLUN     CompletionCode = 0xC2
	ErrTimeout           CompletionCode = 0xC3
	ErrOutOfSpace        CompletionCode = 0xC4
	ErrReservation       CompletionCode = 0xC5
	ErrTruncated         CompletionCode = 0xC6
	ErrLength            CompletionCode = 0xC7
	ErrTooLong           CompletionCode = 0xC8
	ErrParameterRange    CompletionCode = 0xC9
	ErrCannotReturn      CompletionCode = 0xCA
	ErrNotPresent        CompletionCode = 0xCB
	ErrInvalidField      CompletionCode = 0xCC
	ErrIllegal           CompletionCode = 0xCD
	ErrNoResponse        CompletionCode = 0xCE
	ErrDuplicate         CompletionCode = 0xCF
	ErrSDRUpdate         CompletionCode = 0xD0
	ErrFirmwareUpdate    CompletionCode = 0xD1
	ErrInitialising      CompletionCode = 0xD2
	ErrDestination       CompletionCode = 0xD3
	ErrPrivilege         CompletionCode = 0xD4
	ErrState             CompletionCode = 0xD5
	ErrDisabled          CompletionCode = 0xD6
	ErrUnspecified       CompletionCode = 0xFF
	ErrEmpty             CompletionCode = 0x80 // Get Message, Read Event Message Buffer: nothing there
	ErrHandle            CompletionCode = 0x80 // Send Message: no session has that handle
	ErrLostArbitration   CompletionCode = 0x81 // Send Message, Master Write-Read
	ErrBus               CompletionCode = 0x82 // Send Message
	ErrNAK               CompletionCode = 0x83 // Send Message: nobody at that address
	ErrSELUnsupported    CompletionCode = 0x80 // SEL: operation not supported for this record type
	ErrSELErasing        CompletionCode = 0x81 // SEL: erase in progress
	ErrFRUProtected      CompletionCode = 0x80 // Write FRU Data: write-protected offset
	ErrFRUBusy           CompletionCode = 0x81 // Read, Write FRU Data
	ErrParamUnsupported  CompletionCode = 0x80 // Set/Get … Parameters
	ErrParamInProgress   CompletionCode = 0x81
	ErrParamReadOnly     CompletionCode = 0x82
	ErrWatchdogUnstarted CompletionCode = 0x80 // Reset Watchdog Timer: never initialised
)

var codeText = map[CompletionCode]string{
	OK:      "command completed normally",
	ErrBusy: "node busy", ErrInvalidCommand: "invalid command", ErrInvalidForLUN: "invalid command for LUN",
	ErrTimeout: "timeout while processing command", ErrOutOfSpace: "out of space",
	ErrReservation: "reservation cancelled or invalid", ErrTruncated: "request data truncated",
	ErrLength: "request data length invalid", ErrTooLong: "request data field length limit exceeded",
	ErrParameterRange: "parameter out of range", ErrCannotReturn: "cannot return that many bytes",
	ErrNotPresent: "sensor, data or record not present", ErrInvalidField: "invalid data field in request",
	ErrIllegal: "command illegal for this sensor or record", ErrNoResponse: "response could not be provided",
	ErrDuplicate: "duplicated request", ErrSDRUpdate: "SDR repository in update mode",
	ErrFirmwareUpdate: "device in firmware update mode", ErrInitialising: "BMC initialising",
	ErrDestination: "destination unavailable", ErrPrivilege: "insufficient privilege level",
	ErrState: "not supported in present state", ErrDisabled: "command disabled", ErrUnspecified: "unspecified error",
}

// String names a generic code, and prints the others in hex with their range.
func (c CompletionCode) String() string {
	if s, ok := codeText[c]; ok {
		return s
	}
	switch {
	case c <= 0x7E:
		return fmt.Sprintf("OEM code 0x%02x", uint8(c))
	case c >= 0x80 && c <= 0xBE:
		return fmt.Sprintf("command-specific code 0x%02x", uint8(c))
	}
	return fmt.Sprintf("reserved code 0x%02x", uint8(c))
}

// Error makes a code an error: "completion code 0xd4: insufficient privilege level".
func (c CompletionCode) Error() string {
	return fmt.Sprintf("completion code 0x%02x: %s", uint8(c), c.String())
}

// CodeOf maps any error to the completion code that goes on the wire. An error
// that wraps a code gives that code; a deadline gives C3h; anything else FFh.
func CodeOf(err error) CompletionCode {
	var c CompletionCode
	switch {
	case err == nil:
		return OK
	case errors.As(err, &c):
		return c
	case errors.Is(err, context.DeadlineExceeded):
		return ErrTimeout
	}
	return ErrUnspecified
}
