package picmg

import (
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
)

// KeyType says by what Get Address Info looks a FRU up.
type KeyType uint8

// Key types.
const (
	KeyHardware KeyType = 0
	KeyIPMB0    KeyType = 1
	KeyPhysical KeyType = 3 // site number and site type
)

// SiteType is what a physical position holds.
type SiteType uint8

// Site types.
const (
	SiteBoard        SiteType = 0x00
	SitePowerEntry   SiteType = 0x01
	SiteShelfFRU     SiteType = 0x02
	SiteShelfMC      SiteType = 0x03
	SiteFanTray      SiteType = 0x04
	SiteFilter       SiteType = 0x05
	SiteAlarm        SiteType = 0x06
	SiteAMC          SiteType = 0x07
	SitePMC          SiteType = 0x08
	SiteRearBoard    SiteType = 0x09
	SiteMCH          SiteType = 0x0A
	SitePowerModule  SiteType = 0x0B
	SiteUnknown      SiteType = 0xFF
	noIPMB1                   = 0xFF // the third byte once was an IPMB-1 address
	addressInfoLen            = 6
	carrierInfoLen            = 7
	keyedLen                  = 3
	keyedPhysicalLen          = 4
)

var siteNames = map[SiteType]string{
	SiteBoard: "board", SitePowerEntry: "power entry module", SiteShelfFRU: "shelf FRU information",
	SiteShelfMC: "shelf management controller", SiteFanTray: "fan tray", SiteFilter: "fan filter tray",
	SiteAlarm: "alarm", SiteAMC: "AMC", SitePMC: "PMC", SiteRearBoard: "rear transition module",
	SiteMCH: "MCH", SitePowerModule: "power module", SiteUnknown: "unknown",
}

func (s SiteType) String() string {
	if n, ok := siteNames[s]; ok {
		return n
	}
	return fmt.Sprintf("site type 0x%02x", uint8(s))
}

// AddressQuery is the request of Get Address Info (Wireshark
// packet-ipmi-picmg.c, ipmitool ipmi_picmg.c, OpenIPMI oem_atca.c):
//
//	[FRU id [key type  key [site type]]]
//
// Without a key it asks the controller for its own address.
type AddressQuery struct {
	FRU     uint8 // ThisFRU when left out
	Keyed   bool
	KeyType KeyType
	Key     uint8    // hardware address, IPMB-0 address or site number
	Site    SiteType // with KeyPhysical only
}

// AppendBinary appends the body to b. It never fails.
func (q AddressQuery) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, q.FRU)
	if !q.Keyed {
		return b, nil
	}
	b = append(b, byte(q.KeyType), q.Key)
	if q.KeyType == KeyPhysical {
		b = append(b, byte(q.Site))
	}
	return b, nil
}

// ParseAddressQuery reads the body. A site type behind another key than
// KeyPhysical is ignored, as ipmitool sends one.
func ParseAddressQuery(b []byte) (AddressQuery, error) {
	switch len(b) {
	case 0:
		return AddressQuery{}, nil
	case 1:
		return AddressQuery{FRU: b[0]}, nil
	case keyedLen, keyedPhysicalLen:
		return parseKeyedQuery(b)
	}
	return AddressQuery{}, ipmb.ErrLength
}

func parseKeyedQuery(b []byte) (AddressQuery, error) {
	q := AddressQuery{FRU: b[0], Keyed: true, KeyType: KeyType(b[1]), Key: b[2]}
	switch {
	case q.KeyType == KeyPhysical && len(b) < keyedPhysicalLen:
		return AddressQuery{}, ipmb.ErrLength
	case q.KeyType == KeyPhysical:
		q.Site = SiteType(b[3])
	case q.KeyType != KeyHardware && q.KeyType != KeyIPMB0:
		return AddressQuery{}, ipmb.ErrInvalidField
	}
	return q, nil
}

// AddressInfo is the response of Get Address Info:
//
//	hardware address  IPMB-0 address  FF  FRU id  site number  site type  [carrier number]
type AddressInfo struct {
	HW      uint8
	IPMB0   ipmb.Addr
	FRU     uint8
	Site    uint8 // site number
	Type    SiteType
	Carrier uint8 // of a MicroTCA carrier, 0 = none
}

// BoardAddress is the address of the board in a logical slot, whose site
// number is the slot's.
func BoardAddress(slot int) AddressInfo {
	a := ipmb.SlotAddr(slot)
	return AddressInfo{HW: a.HW(), IPMB0: a, Site: uint8(slot), Type: SiteBoard}
}

// AppendBinary appends the body to b. It never fails.
func (a AddressInfo) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, a.HW, byte(a.IPMB0), noIPMB1, a.FRU, a.Site, byte(a.Type))
	if a.Carrier != 0 {
		b = append(b, a.Carrier)
	}
	return b, nil
}

// ParseAddressInfo reads the body.
func ParseAddressInfo(b []byte) (AddressInfo, error) {
	if len(b) != addressInfoLen && len(b) != carrierInfoLen {
		return AddressInfo{}, ipmb.ErrLength
	}
	a := AddressInfo{HW: b[0], IPMB0: ipmb.Addr(b[1]), FRU: b[3], Site: b[4], Type: SiteType(b[5])}
	if len(b) == carrierInfoLen {
		a.Carrier = b[6]
	}
	return a, nil
}

// ShelfManagers is the response of Get Shelf Manager IPMB Address (Wireshark
// packet-ipmi-picmg.c): the dedicated addresses of the active shelf manager
// and of its backup, NoBackup if there is none.
type ShelfManagers struct {
	Active ipmb.Addr
	Backup ipmb.Addr
}

// NoBackup stands for a missing backup.
const NoBackup ipmb.Addr = 0xFF

const shelfManagersLen = 2

// AppendBinary appends the body to b. It never fails.
func (s ShelfManagers) AppendBinary(b []byte) ([]byte, error) {
	return append(b, byte(s.Active), byte(s.Backup)), nil
}

// ParseShelfManagers reads the body.
func ParseShelfManagers(b []byte) (ShelfManagers, error) {
	if len(b) != shelfManagersLen {
		return ShelfManagers{}, ipmb.ErrLength
	}
	return ShelfManagers{Active: ipmb.Addr(b[0]), Backup: ipmb.Addr(b[1])}, nil
}
