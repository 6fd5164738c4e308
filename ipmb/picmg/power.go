package picmg

import "github.com/midplane-project/midplane/ipmb"

// Power levels of Set Power Level; 1 to MaxPower are a FRU's own.
const (
	PowerOff  uint8 = 0x00
	MaxPower  uint8 = 0x14
	PowerKeep uint8 = 0xFF // do not change the level
)

// PowerLevel is the request of Set Power Level (Wireshark
// packet-ipmi-picmg.c). Linux's ipmi_poweroff.c sends PowerOff for an ATCA
// board that goes down:
//
//	FRU id  level  01 = make the desired levels the present ones
type PowerLevel struct {
	FRU   uint8
	Level uint8
	Copy  bool
}

const powerLevelLen = 3

// AppendBinary appends the body to b. It never fails.
func (p PowerLevel) AppendBinary(b []byte) ([]byte, error) {
	return append(b, p.FRU, p.Level, flag(p.Copy)), nil
}

// ParsePowerLevel reads the body: C7h for a wrong length, CCh for a level or
// a flag that does not exist.
func ParsePowerLevel(b []byte) (PowerLevel, error) {
	if len(b) != powerLevelLen {
		return PowerLevel{}, ipmb.ErrLength
	}
	if b[1] > MaxPower && b[1] != PowerKeep || b[2] > 1 {
		return PowerLevel{}, ipmb.ErrInvalidField
	}
	return PowerLevel{FRU: b[0], Level: b[1], Copy: b[2] == 1}, nil
}
