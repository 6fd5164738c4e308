package mc

import (
	"encoding/binary"
	"sync"

	"github.com/midplane-project/midplane/ipmb"
)

// partialLen is what stands before the data of Partial Add SDR and Partial
// Add SEL Entry (IPMI 2.0 §33.14, §31.7):
//
//	reservation 2  record id 2  offset  [3:0] 0 more to come, 1 the last
const partialLen = 6

// errPartialLength says that the pieces do not make the record that its header tells.
const errPartialLength ipmb.CompletionCode = 0x80

// partialAdd collects a record that comes in pieces. There is one at a time:
// one that begins, or a reservation that ends, is the end of the one before.
type partialAdd struct {
	limit int // longest record

	mu          sync.Mutex
	id          uint16 // names the record until it is whole, 0: none
	last        uint16 // of the names that were given
	reservation uint16 // under which it began
	record      []byte
}

// take adds the piece in a request. It gives the whole record once it has all
// of it, and until then the id under which the next piece is to come.
// reservation is the one that holds now.
func (p *partialAdd) take(data []byte, reservation uint16) (id uint16, whole []byte, err error) {
	given, id := binary.LittleEndian.Uint16(data), binary.LittleEndian.Uint16(data[2:])
	offset, progress, piece := int(data[4]), data[5], data[partialLen:]
	if progress > 1 {
		return 0, nil, ipmb.ErrInvalidField
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case given != reservation && (given != 0 || offset != 0):
		return 0, nil, ipmb.ErrReservation
	case offset == 0 && id == 0:
		p.begin(reservation)
	case p.id != 0 && p.reservation != reservation:
		p.id = 0
		return 0, nil, ipmb.ErrReservation
	case p.id == 0 || id != p.id:
		return 0, nil, ipmb.ErrNotPresent
	}
	if offset != len(p.record) || offset+len(piece) > p.limit {
		return 0, nil, ipmb.ErrParameterRange
	}
	p.record = append(p.record, piece...)
	if progress == 0 {
		return p.id, nil, nil
	}
	p.id = 0
	return 0, p.record, nil
}

// begin names a new record as no other is named, lest the pieces of two who
// write at once are mixed.
func (p *partialAdd) begin(reservation uint16) {
	p.last = max(p.last+1, 1)
	p.id, p.reservation, p.record = p.last, reservation, nil
}
