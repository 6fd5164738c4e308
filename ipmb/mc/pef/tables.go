package pef

import "github.com/midplane-project/midplane/ipmb"

// entry checks the number of a table's entry, which counts from 1.
func entry[T any](table []T, n byte) (*T, error) {
	if n == 0 || int(n) > len(table) {
		return nil, ipmb.ErrParameterRange
	}
	return &table[n-1], nil
}

func (p *PEF) getFilter(set, _ byte) ([]byte, error) {
	f, err := entry(p.filters[:], set)
	if err != nil {
		return nil, err
	}
	return f.Append([]byte{set}), nil
}

func (p *PEF) setFilter(data []byte) error {
	old, err := entry(p.filters[:], data[0])
	if err != nil {
		return err
	}
	f, err := ParseFilter(data[1:])
	if err != nil {
		return err
	}
	return p.putFilter(data[0], old, f)
}

// putFilter replaces a filter. One of the manufacturer's may only be switched
// on and off; no other becomes one.
func (p *PEF) putFilter(n byte, old *Filter, f Filter) error {
	if old.Manufacturer {
		same := *old
		same.Enabled, f.Manufacturer = f.Enabled, true
		if f != same {
			return ipmb.ErrParamReadOnly
		}
	} else if f.Manufacturer {
		return ipmb.ErrInvalidField
	}
	if f == *old {
		return nil
	}
	if err := p.Records.Put(entryName(recordFilter, int(n)), f.Append(nil)); err != nil {
		return err
	}
	*old = f
	return nil
}

func (p *PEF) getFilterConfig(set, _ byte) ([]byte, error) {
	f, err := entry(p.filters[:], set)
	if err != nil {
		return nil, err
	}
	return []byte{set, f.config()}, nil
}

// setFilterConfig switches a filter. ipmitool writes the byte without the
// type's bits, so those of a manufacturer's filter stay as they are.
func (p *PEF) setFilterConfig(data []byte) error {
	old, err := entry(p.filters[:], data[0])
	if err != nil {
		return err
	}
	kind := data[1] & filterType
	if data[1]&filterReserved != 0 || kind != 0 && (kind != filterManufacturer || !old.Manufacturer) {
		return ipmb.ErrInvalidField
	}
	f := *old
	f.Enabled = data[1]&filterEnabled != 0
	return p.putFilter(data[0], old, f)
}

func (p *PEF) getPolicy(set, _ byte) ([]byte, error) {
	e, err := entry(p.policies[:], set)
	if err != nil {
		return nil, err
	}
	return e.Append([]byte{set}), nil
}

func (p *PEF) setPolicy(data []byte) error {
	old, err := entry(p.policies[:], data[0])
	if err != nil {
		return err
	}
	next, err := ParsePolicy(data[1:])
	if err != nil || next == *old {
		return err
	}
	if err := p.Records.Put(entryName(recordPolicy, int(data[0])), data[1:]); err != nil {
		return err
	}
	*old = next
	return nil
}

// text gives a string by its number; 0 is the volatile one.
func (p *PEF) text(n byte) (*alertString, error) {
	if int(n) >= len(p.strings) {
		return nil, ipmb.ErrParameterRange
	}
	return &p.strings[n], nil
}

// putText keeps a changed string, unless it is the volatile one, and takes it.
func (p *PEF) putText(n byte, s alertString) error {
	if n != 0 && s != p.strings[n] {
		if err := p.Records.Put(entryName(recordString, int(n)), s.record()); err != nil {
			return err
		}
	}
	p.strings[n] = s
	return nil
}

func (p *PEF) getKeys(set, _ byte) ([]byte, error) {
	s, err := p.text(set)
	if err != nil {
		return nil, err
	}
	return []byte{set, s.filter, s.set}, nil
}

func (p *PEF) setKeys(data []byte) error {
	old, err := p.text(data[0])
	if err != nil {
		return err
	}
	if data[1] > filterCount || data[2]&^stringMask != 0 {
		return ipmb.ErrInvalidField
	}
	s := *old
	s.filter, s.set = data[1], data[2]
	return p.putText(data[0], s)
}

// block gives the bytes of a string's block; blocks count from 1.
func (s *alertString) block(n byte) ([]byte, error) {
	if n == 0 || n > stringBlocks {
		return nil, ipmb.ErrParameterRange
	}
	return s.text[int(n-1)*blockLen:][:blockLen], nil
}

func (p *PEF) getString(set, block byte) ([]byte, error) {
	s, err := p.text(set)
	if err != nil {
		return nil, err
	}
	b, err := s.block(block)
	if err != nil {
		return nil, err
	}
	return append([]byte{set, block}, b...), nil
}

// setString writes a block; what a short write leaves of it is zero.
func (p *PEF) setString(data []byte) error {
	old, err := p.text(data[0])
	if err != nil {
		return err
	}
	s := *old
	b, err := s.block(data[1])
	if err != nil {
		return err
	}
	clear(b[copy(b, data[2:]):])
	return p.putText(data[0], s)
}
