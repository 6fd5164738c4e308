package picmg

import "github.com/midplane-project/midplane/ipmb"

// Version is a PICMG extension version: [3:0] major, [7:4] minor.
type Version uint8

// Extension versions.
const (
	VersionATCA2 Version = 0x22 // PICMG 3.0 R2.0: 2.2
	VersionATCA3 Version = 0x32 // PICMG 3.0 R3.0: 2.3
)

// Major is 2 for ATCA, 4 for AMC.0, 5 for MicroTCA.
func (v Version) Major() uint8 { return uint8(v) & nibble }

// Minor is the version within Major.
func (v Version) Minor() uint8 { return uint8(v) >> nibbleShift }

// Properties is the response of Get PICMG Properties (Wireshark
// packet-ipmi-picmg.c, ipmitool ipmi_picmg.c):
//
//	extension version  highest FRU id  the controller's own FRU id
type Properties struct {
	Version Version
	MaxFRU  uint8
	OwnFRU  uint8
}

const propertiesLen = 3

// AppendBinary appends the body to b. It never fails.
func (p Properties) AppendBinary(b []byte) ([]byte, error) {
	return append(b, byte(p.Version), p.MaxFRU, p.OwnFRU), nil
}

// ParseProperties reads the body.
func ParseProperties(b []byte) (Properties, error) {
	if len(b) != propertiesLen {
		return Properties{}, ipmb.ErrLength
	}
	return Properties{Version: Version(b[0]), MaxFRU: b[1], OwnFRU: b[2]}, nil
}
