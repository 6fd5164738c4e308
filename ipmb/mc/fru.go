package mc

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sdr"
)

// MaxFRU is the size of the largest EEPROM of a FRU, and that of one whose
// size is not told.
const MaxFRU = 2048

const (
	// maxFRURead is the most bytes that one answer gives. With them it passes
	// every door, also bridged twice and fetched by Get Message over BT, whose
	// messages end at 255 bytes.
	maxFRURead = 224
	// fruReserved is no FRU (IPMI 2.0 §34).
	fruReserved = 0xFF
	// byteAccess says that offsets and counts are in bytes, not in words.
	byteAccess = 0x00
)

// FRU is one FRU inventory device of a controller, as it is made. What is
// written to it later outlives a change of its content here.
type FRU struct {
	ID       uint8  // 0 is the controller's own
	Content  []byte // FRU information (package fru); the rest reads FFh
	Size     int    // in bytes: 256, 512, 1024 or 2048; 0 is MaxFRU
	ReadOnly bool   // write-protected
	Name     string // in its locator, as Entity
	Entity   sdr.Entity
}

// Locator is the record by which others find the device behind a controller.
// The controller's own is found by the controller's locator.
func (f FRU) Locator(owner ipmb.Addr) *sdr.FRULocator {
	return &sdr.FRULocator{
		Owner: owner, FRU: f.ID, Logical: true, Channel: ipmb.ChannelIPMB, DeviceType: sdr.LogicalFRU,
		Entity: f.Entity, Name: f.Name,
	}
}

func (f FRU) check() error {
	switch {
	case f.ID == fruReserved:
		return fmt.Errorf("FRU id %02Xh is reserved", f.ID)
	case f.Size != 256 && f.Size != 512 && f.Size != 1024 && f.Size != MaxFRU:
		return fmt.Errorf("FRU %d: there is no EEPROM of %d bytes", f.ID, f.Size)
	case len(f.Content) > f.Size:
		return fmt.Errorf("FRU %d: %d bytes do not fit into %d", f.ID, len(f.Content), f.Size)
	}
	return nil
}

// FRUs are a controller's FRU inventory devices.
type FRUs struct {
	devices map[uint8]*eeprom
	buses   [privateBuses]*serialEEPROM
}

// NewFRUs gives the devices of a list with what was written to them before.
func NewFRUs(list []FRU, records Records) (*FRUs, error) {
	f := &FRUs{devices: make(map[uint8]*eeprom, len(list))}
	for _, one := range list {
		if one.Size == 0 {
			one.Size = MaxFRU
		}
		if err := one.check(); err != nil {
			return nil, err
		}
		if f.devices[one.ID] != nil {
			return nil, fmt.Errorf("FRU %d is there twice", one.ID)
		}
		e, err := openEEPROM(one, records)
		if err != nil {
			return nil, err
		}
		f.devices[one.ID] = e
		if int(one.ID) < len(f.buses) {
			f.buses[one.ID] = &serialEEPROM{memory: e}
		}
	}
	return f, nil
}

// Reload takes what the records hold now. It is for records that others change
// as well, and must not run beside a write.
func (f *FRUs) Reload() error {
	for _, e := range f.devices {
		if err := e.load(); err != nil {
			return err
		}
	}
	return nil
}

// Commands gives the rows of the FRU inventory devices, and of the buses by
// which their EEPROMs can be reached.
func (f *FRUs) Commands() []ipmb.Command {
	return []ipmb.Command{
		{
			Name: "Get FRU Inventory Area Info", NetFn: ipmb.NetFnStorage, Cmd: 0x10, Privilege: ipmb.PrivilegeUser,
			Data: ipmb.Exactly(1), Ref: "IPMI 2.0 §34.1", Do: f.info,
		},
		{
			Name: "Read FRU Data", NetFn: ipmb.NetFnStorage, Cmd: 0x11, Privilege: ipmb.PrivilegeUser,
			Data: ipmb.Exactly(4), Ref: "IPMI 2.0 §34.2", Do: f.read,
		},
		{
			Name: "Write FRU Data", NetFn: ipmb.NetFnStorage, Cmd: 0x12, Privilege: ipmb.PrivilegeOperator,
			Data: ipmb.AtLeast(4), Effect: true, Ref: "IPMI 2.0 §34.3", Do: f.write,
		},
		f.masterWriteRead(),
	}
}

func (f *FRUs) info(_ context.Context, req *ipmb.Request) ([]byte, error) {
	e := f.devices[req.Data[0]]
	if e == nil {
		return nil, ipmb.ErrNotPresent
	}
	return append(binary.LittleEndian.AppendUint16(nil, uint16(len(e.bytes()))), byteAccess), nil
}

// at finds the device and the offset of a read or write.
func (f *FRUs) at(data []byte) (*eeprom, int, error) {
	e, offset := f.devices[data[0]], int(binary.LittleEndian.Uint16(data[1:]))
	switch {
	case e == nil:
		return nil, 0, ipmb.ErrNotPresent
	case offset >= len(e.bytes()):
		return nil, 0, ipmb.ErrParameterRange
	}
	return e, offset, nil
}

// read gives what there is up to the end. Clients that ask for more than an
// answer holds try again with less at CAh, and at no other code.
func (f *FRUs) read(_ context.Context, req *ipmb.Request) ([]byte, error) {
	e, offset, err := f.at(req.Data)
	if err != nil {
		return nil, err
	}
	n := int(req.Data[3])
	if n > maxFRURead {
		return nil, ipmb.ErrCannotReturn
	}
	rest := e.bytes()[offset:]
	n = min(n, len(rest))
	return append([]byte{byte(n)}, rest[:n]...), nil
}

// write stores what fits, and says how much that was.
func (f *FRUs) write(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	e, offset, err := f.at(req.Data)
	if err != nil {
		return nil, err
	}
	data := req.Data[3:]
	if room := len(e.bytes()) - offset; len(data) > room {
		data = data[:room]
	}
	if len(data) > 0xFF { // the count has one byte
		return nil, ipmb.ErrTooLong
	}
	if e.ReadOnly {
		return nil, ipmb.ErrFRUProtected
	}
	if err := e.take(ctx); err != nil {
		return nil, err
	}
	defer e.release()
	if err := e.put(offset, data); err != nil {
		return nil, err
	}
	return []byte{byte(len(data))}, nil
}
