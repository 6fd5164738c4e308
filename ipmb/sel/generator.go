package sel

import (
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
)

// Generator says who made an event (IPMI 2.0 table 32-1, Generator ID):
//
//	low byte   [7:1] IPMB address or software id  [0] 1 = software
//	high byte  [7:4] channel  [1:0] LUN
type Generator uint16

const (
	softwareBit    = 0x01
	generatorShift = 8
	channelShift   = 4
	nibble         = 0x0F
	lunBits        = 0x03
)

// ControllerGenerator is a controller's unit, as a channel of the log's own
// controller sees it.
func ControllerGenerator(a ipmb.Addr, lun ipmb.LUN, channel uint8) Generator {
	return Generator(uint8(a)&^softwareBit) | where(lun, channel)
}

// SoftwareGenerator is system software, by the byte that it puts in front of a
// Platform Event on the system interface: software id << 1 | 1.
func SoftwareGenerator(id uint8, channel uint8) Generator {
	return Generator(id|softwareBit) | where(0, channel)
}

func where(lun ipmb.LUN, channel uint8) Generator {
	return Generator(channel&nibble<<channelShift|uint8(lun)&lunBits) << generatorShift
}

// ID is the low byte: an IPMB address, or a software id with bit 0 set.
func (g Generator) ID() uint8 { return uint8(g) }

// Software reports whether system software made the event.
func (g Generator) Software() bool { return g&softwareBit != 0 }

// Addr is the IPMB address of the controller, 0 when software made the event.
func (g Generator) Addr() ipmb.Addr {
	if g.Software() {
		return 0
	}
	return ipmb.Addr(uint8(g))
}

// Channel is the channel by which the event came.
func (g Generator) Channel() uint8 { return uint8(g>>generatorShift) >> channelShift }

// LUN is the unit of the controller.
func (g Generator) LUN() ipmb.LUN { return ipmb.LUN(g>>generatorShift) & lunBits }

func (g Generator) String() string {
	s := fmt.Sprintf("0x%02x", g.ID())
	if g.Software() {
		s = "software " + s
	}
	if l := g.LUN(); l != 0 {
		s += fmt.Sprintf(" LUN %d", l)
	}
	if c := g.Channel(); c != 0 {
		s += fmt.Sprintf(" channel %d", c)
	}
	return s
}
