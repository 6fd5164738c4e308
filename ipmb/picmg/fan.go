package picmg

import "github.com/midplane-project/midplane/ipmb"

// FanProperties is the response of Get Fan Speed Properties (Wireshark
// packet-ipmi-picmg.c); the request is a FRU id:
//
//	lowest level  highest level  normal level  [7] the tray can set its level itself
type FanProperties struct {
	Min, Max, Normal uint8
	Local            bool
}

// Levels of Set Fan Level and Get Fan Level that are none of a tray's own.
const (
	FanShutDown uint8 = 0xFE // emergency: the fans stand still
	FanLocal    uint8 = 0xFF // no level is ordered: local control
)

const (
	fanPropertiesLen = 4
	fanLevelLen      = 2
	fanLevelsLen     = 3
	canLocal         = 0x80
)

// AppendBinary appends the body to b. It never fails.
func (p FanProperties) AppendBinary(b []byte) ([]byte, error) {
	var flags byte
	if p.Local {
		flags = canLocal
	}
	return append(b, p.Min, p.Max, p.Normal, flags), nil
}

// ParseFanProperties reads the body.
func ParseFanProperties(b []byte) (FanProperties, error) {
	if len(b) != fanPropertiesLen {
		return FanProperties{}, ipmb.ErrLength
	}
	return FanProperties{Min: b[0], Max: b[1], Normal: b[2], Local: b[3]&canLocal != 0}, nil
}

// FanLevel is the request of Set Fan Level (Wireshark packet-ipmi-picmg.c):
//
//	FRU id  level [local control: 0 off, 1 on]
//
// Without its last byte, local control is on with FanLocal alone.
type FanLevel struct {
	FRU   uint8
	Level uint8
	Local bool
}

// AppendBinary appends the body to b, all three bytes. It never fails.
func (l FanLevel) AppendBinary(b []byte) ([]byte, error) {
	return append(b, l.FRU, l.Level, flag(l.Local)), nil
}

// ParseFanLevel reads the body: C7h for a wrong length, CCh for a switch that
// is neither, and for nobody's control at all.
func ParseFanLevel(b []byte) (FanLevel, error) {
	if len(b) != fanLevelLen && len(b) != fanLevelsLen {
		return FanLevel{}, ipmb.ErrLength
	}
	l := FanLevel{FRU: b[0], Level: b[1], Local: b[1] == FanLocal}
	if len(b) == fanLevelLen {
		return l, nil
	}
	if b[2] > 1 || l.Local && b[2] == 0 {
		return FanLevel{}, ipmb.ErrInvalidField
	}
	l.Local = b[2] == 1
	return l, nil
}

// FanLevels is the response of Get Fan Level (Wireshark packet-ipmi-picmg.c);
// the request is a FRU id:
//
//	ordered level, FF = none  local control's level  local control: 0 off, 1 on
type FanLevels struct {
	Ordered uint8
	Own     uint8
	Local   bool
}

// AppendBinary appends the body to b. It never fails.
func (l FanLevels) AppendBinary(b []byte) ([]byte, error) {
	return append(b, l.Ordered, l.Own, flag(l.Local)), nil
}

// ParseFanLevels reads the body.
func ParseFanLevels(b []byte) (FanLevels, error) {
	if len(b) != fanLevelsLen {
		return FanLevels{}, ipmb.ErrLength
	}
	return FanLevels{Ordered: b[0], Own: b[1], Local: b[2]&1 != 0}, nil
}

func flag(on bool) byte {
	if on {
		return 1
	}
	return 0
}
