package mc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// A watchdog timer is kept in two places. The cell has all of it and follows
// each change at the cost of a copy, so that feeding it thousands of times a
// second costs no fsync: it survives the end of the process, however that
// comes. The record has the settings alone and is on disk before Set Watchdog
// Timer is answered. When the host lost its power the cell is gone or of an
// earlier time; then the record's settings hold and, the system being off as
// well, the timer stands.

// Cell keeps one small value over the end of the process, also by SIGKILL:
// after it Load gives what Store was last given, whole. It costs no system call.
type Cell interface {
	Load() []byte // nil: nothing was stored
	Store([]byte)
}

// watchdogRecord is the timer's name in Records: a generation, which each
// change of the settings counts up, and the settings as in Set Watchdog Timer.
const (
	watchdogRecord    = "watchdog"
	watchdogRecordLen = 4 + watchdogLen
)

// Layout of the cell: the record's ten bytes, with the flags that are set; then
//
//	10 bits of the state
//	11 what is left, in nanoseconds
//	19 as of when, in Unix nanoseconds
const watchdogCellLen = watchdogRecordLen + 1 + 8 + 8

// Bits of the state.
const (
	watchdogBitSet = 1 << iota
	watchdogBitWarned
	watchdogBitPaused
)

func appendWatchdogRecord(b []byte, generation uint32, s watchdogSettings, running bool, flags byte) []byte {
	return s.append(binary.BigEndian.AppendUint32(b, generation), running, flags)
}

func (s watchdogState) appendCell(b []byte, generation uint32) []byte {
	b = appendWatchdogRecord(b, generation, s.watchdogSettings, s.running, s.expired)
	bits := bitIf(s.set, watchdogBitSet) | bitIf(s.warned, watchdogBitWarned) | bitIf(s.paused, watchdogBitPaused)
	b = binary.BigEndian.AppendUint64(append(b, bits), uint64(s.left))
	return binary.BigEndian.AppendUint64(b, uint64(s.at.UnixNano()))
}

func bitIf(on bool, bit byte) byte {
	if on {
		return bit
	}
	return 0
}

var errWatchdogRecord = errors.New("a stored watchdog timer cannot be read")

// parseWatchdogRecord reads settings; those of a timer that was never set are zero.
func parseWatchdogRecord(b []byte) (generation uint32, s watchdogSet, err error) {
	if len(b) != watchdogRecordLen {
		return 0, s, errWatchdogRecord
	}
	generation = binary.BigEndian.Uint32(b)
	if b[4] == 0 {
		return generation, s, nil
	}
	if s, err = parseWatchdogSet(b[4:]); err != nil {
		return 0, s, errWatchdogRecord
	}
	return generation, s, nil
}

func parseWatchdogCell(b []byte) (generation uint32, s watchdogState, err error) {
	if len(b) != watchdogCellLen {
		return 0, s, errWatchdogRecord
	}
	generation, set, err := parseWatchdogRecord(b[:watchdogRecordLen])
	if err != nil {
		return 0, s, err
	}
	bits := b[watchdogRecordLen]
	return generation, watchdogState{
		watchdogSettings: set.watchdogSettings, running: set.dontStop, expired: set.clear,
		set: bits&watchdogBitSet != 0, warned: bits&watchdogBitWarned != 0, paused: bits&watchdogBitPaused != 0,
		left: time.Duration(binary.BigEndian.Uint64(b[11:])), at: time.Unix(0, int64(binary.BigEndian.Uint64(b[19:]))),
	}, nil
}

// restoreWatchdog puts together what an earlier process left. A cell that
// cannot be read is none.
func restoreWatchdog(cell, record []byte) (generation uint32, s watchdogState, err error) {
	generation, s, _ = parseWatchdogCell(cell)
	if record == nil {
		return generation, s, nil
	}
	stored, set, err := parseWatchdogRecord(record)
	if err != nil {
		return 0, s, fmt.Errorf("record %s: %w", watchdogRecord, err)
	}
	switch {
	case !s.set:
		s = watchdogState{}.take(set, time.Now())
	case stored > generation: // its Set had not been answered when the process ended
		s.watchdogSettings = set.watchdogSettings
	default:
		return generation, s, nil
	}
	return stored, s, nil
}
