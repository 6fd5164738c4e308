package mc

import (
	"bytes"
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
	// toldSize is what every device says it has, so that no area and no chain of
	// records ends behind it, whatever its bytes say: ipmitool overruns a buffer
	// at the first that does (1.8.19, lib/ipmi_fru.c, read_fru_area), and who
	// writes the bytes may be a guest. Behind the EEPROM there are blank bytes,
	// which end a chain, and which nobody can change.
	toldSize = 4096
	// fruWriteHead is what stands before the bytes of a write: FRU id, offset.
	fruWriteHead = 3
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
	return append(binary.LittleEndian.AppendUint16(nil, toldSize), byteAccess), nil
}

// at finds the device and the offset of a read or write, which may be behind
// its bytes.
func (f *FRUs) at(data []byte) (*eeprom, int, error) {
	e, offset := f.devices[data[0]], int(binary.LittleEndian.Uint16(data[1:]))
	switch {
	case e == nil:
		return nil, 0, ipmb.ErrNotPresent
	case offset >= toldSize:
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
	n = min(n, toldSize-offset)
	out := bytes.Repeat([]byte{blank}, 1+n)
	if out[0] = byte(n); offset < len(e.bytes()) {
		copy(out[1:], e.bytes()[offset:])
	}
	return out, nil
}

// write stores what fits, and says how much that was.
func (f *FRUs) write(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	e, offset, err := f.at(req.Data)
	if err != nil {
		return nil, err
	}
	data := req.Data[fruWriteHead:]
	count := FRUWritten(len(e.bytes()), offset, data)
	switch {
	case count > 0xFF: // it has one byte
		return nil, ipmb.ErrTooLong
	case count == 0:
		return nil, ipmb.ErrParameterRange
	case e.ReadOnly:
		return nil, ipmb.ErrFRUProtected
	}
	if data = data[:min(len(data), max(0, len(e.bytes())-offset))]; len(data) > 0 {
		if err := e.take(ctx); err != nil {
			return nil, err
		}
		defer e.release()
		if err := e.put(offset, data); err != nil {
			return nil, err
		}
	}
	return []byte{byte(count)}, nil
}

// FRUWritten is how many bytes a device of a size takes at an offset: those
// that it has room for. Blank ones fit behind it, too: who writes back what he
// read has lost nothing.
func FRUWritten(size, offset int, data []byte) int {
	room := max(0, size-offset)
	if len(data) <= room || offset+len(data) <= toldSize && len(bytes.Trim(data[room:], "\xFF")) == 0 {
		return len(data)
	}
	return room
}
