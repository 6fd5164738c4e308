package mc

import (
	"context"

	"github.com/midplane-project/midplane/ipmb"
)

// Private I2C buses of a controller. On bus n is the EEPROM of FRU n and
// nothing else: FRUs from 8 on are reached by the FRU commands only.
//
//	[7:4] channel, of a public bus [3:1] number [0] private
const (
	privateBuses = 8
	privateBus   = 0x01
	busShift     = 1
	busMask      = 0x07

	addrReserved = 0x01 // read/write bit of a slave address: the command sets it itself
)

// masterWriteRead is the row of Master Write-Read. It needs an administrator,
// since who may speak on a bus may do anything there.
func (f *FRUs) masterWriteRead() ipmb.Command {
	return ipmb.Command{
		Name: "Master Write-Read", NetFn: ipmb.NetFnApp, Cmd: 0x52, Privilege: ipmb.PrivilegeAdmin,
		Data: ipmb.AtLeast(3), Effect: true, Ref: "IPMI 2.0 §22.11", Do: f.transfer,
	}
}

// transfer writes, then reads, in one transaction on a private bus. Public
// ones are IPMBs, which have Send Message.
func (f *FRUs) transfer(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	bus, slave, count, out := req.Data[0], req.Data[1], int(req.Data[2]), req.Data[3:]
	chip := f.buses[bus>>busShift&busMask]
	switch {
	case bus&privateBus == 0, chip == nil, slave&addrReserved != 0:
		return nil, ipmb.ErrInvalidField
	case count > maxFRURead:
		return nil, ipmb.ErrCannotReturn
	}
	return chip.transfer(ctx, slave, out, count)
}

// serialEEPROM is a memory on an I2C bus, addressed as a 24C02, 24C04, 24C08
// or 24C16 by its size. It answers to A0h and to an address more for each
// further 256 bytes, whose bits [3:1] are the upper part of the memory address;
// the first byte written is the lower part and sets the address counter, the
// others are stored. Reading goes on from the counter, whatever the upper part
// of the slave's address. Both begin anew behind the end.
//
// As with the FRAMs of this kind (FM24C16) there are no pages and no time
// that a write takes, and a write-protected one does not acknowledge data.
type serialEEPROM struct {
	memory  *eeprom
	counter int // whoever has the memory's turn
}

const (
	eepromAddr  = 0xA0
	eepromMask  = 0xF0
	eepromBlock = 256
	blockShift  = 1
	blockMask   = 0x07
)

func (s *serialEEPROM) transfer(ctx context.Context, slave byte, out []byte, count int) ([]byte, error) {
	block := int(slave >> blockShift & blockMask)
	if slave&eepromMask != eepromAddr || block*eepromBlock >= len(s.memory.bytes()) {
		return nil, ipmb.ErrNAK
	}
	if s.memory.take(ctx) != nil {
		return nil, ipmb.ErrLostArbitration
	}
	defer s.memory.release()
	if len(out) > 0 {
		s.counter = block*eepromBlock + int(out[0])
		if err := s.store(out[1:]); err != nil {
			return nil, err
		}
	}
	return s.read(count), nil
}

func (s *serialEEPROM) store(data []byte) error {
	switch {
	case len(data) == 0:
		return nil
	case s.memory.ReadOnly:
		return ipmb.ErrNAK
	}
	if err := s.memory.put(s.counter, data); err != nil {
		return err
	}
	s.advance(len(data))
	return nil
}

func (s *serialEEPROM) read(n int) []byte {
	image := s.memory.bytes()
	out := make([]byte, n)
	for i := range out {
		out[i] = image[(s.counter+i)%len(image)]
	}
	s.advance(n)
	return out
}

func (s *serialEEPROM) advance(n int) { s.counter = (s.counter + n) % len(s.memory.bytes()) }
