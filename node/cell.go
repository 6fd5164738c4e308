package node

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// Layout of one of a cell's two copies. The newer one that matches its checksum
// is the value: a kill in the middle of a store leaves the one before.
//
//	0 CRC-32C of what follows
//	4 number    counts stores; the newer copy's is the other's plus one
//	8 length of the value
//	9 value
const (
	cellCopy   = 64
	cellHeader = 9
	cellValue  = cellCopy - cellHeader
)

// cell is one small value in the ledger (mc.Cell). A value that does not fit
// is not kept.
type cell struct {
	ledger *ledger
	offset int
}

func (l *ledger) watchdog() *cell { return &cell{l, ledgerCell} }

// Load implements mc.Cell.
func (c *cell) Load() []byte {
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	if c.ledger.mem == nil {
		return nil
	}
	b, _ := c.newest()
	if b == nil {
		return nil
	}
	return bytes.Clone(b[cellHeader : cellHeader+int(b[8])])
}

// Store implements mc.Cell.
func (c *cell) Store(value []byte) {
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	if c.ledger.mem == nil || len(value) > cellValue {
		return
	}
	var number uint32
	newest, b := c.newest()
	if newest != nil {
		number = cellNumber(newest) + 1
	}
	binary.LittleEndian.PutUint32(b[4:], number)
	b[8] = byte(len(value))
	copy(b[cellHeader:], value)
	binary.LittleEndian.PutUint32(b, cellSum(b))
}

// newest gives the copy that has the value, nil if none does, and the other.
func (c *cell) newest() (newest, other []byte) {
	a := c.ledger.mem[c.offset : c.offset+cellCopy]
	b := c.ledger.mem[c.offset+cellCopy : c.offset+2*cellCopy]
	switch good := [2]bool{cellGood(a), cellGood(b)}; {
	case !good[0] && !good[1]:
		return nil, a
	case good[0] && (!good[1] || cellNumber(a) == cellNumber(b)+1):
		return a, b
	}
	return b, a
}

func cellNumber(b []byte) uint32 { return binary.LittleEndian.Uint32(b[4:]) }

func cellGood(b []byte) bool {
	return b[8] <= cellValue && binary.LittleEndian.Uint32(b) == cellSum(b)
}

func cellSum(b []byte) uint32 { return crc32.Checksum(b[4:cellHeader+int(b[8])], castagnoli) }
