package node

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/midplane-project/midplane/node/vm"
)

// Layout of a ledger: a slot with the magic, from ledgerMemory on what the
// guest's door remembers, and from ledgerCell on the watchdog timer; then the
// records' slots.
//
//	0  state      0 free, 1 live, 2 marked
//	1  kind
//	2  length of the payload
//	4  CRC-32C of kind, length, number and payload
//	8  number     records are read back in its order
//	16 payload
const (
	ledgerMagic   = "midplane ledger 1\n"
	ledgerSlot    = 512
	ledgerMemory  = 64
	ledgerCell    = 128
	ledgerHeader  = 16
	ledgerPayload = ledgerSlot - ledgerHeader

	// ledgerSlots is everything that is kept, at its limit: the queue with the
	// message last given, event buffer and watchdog flag, the guest's requests,
	// those to it.
	ledgerSlots = queueLimit + 3 + askLimit + answeredLimit + 1 + askLimit
)

// States of a slot.
const (
	slotFree byte = iota
	slotLive
	slotMarked
)

// noSlot stands for a record that is not kept.
const noSlot = -1

// recordKind says what a record of the ledger is.
type recordKind byte

const (
	recordLetter  recordKind = iota + 1 // a message in the receive queue
	recordEvent                         // the event message buffer
	recordAsk                           // a request of the guest's to another controller
	recordAsked                         // a request to guest software
	recordWarning                       // the watchdog's pre-timeout flag, without payload
)

// record is one that was found when the ledger was opened.
type record struct {
	kind    recordKind
	slot    int
	marked  bool
	number  uint64
	payload []byte
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ledger keeps what is under way between guest and bus, so that the next
// process goes on with it, also after SIGKILL. It is a mapped file: a record
// costs a copy and no system call. What must outlive the host as well is in
// the store. Records are small and few; one that does not fit is not kept.
type ledger struct {
	mu   sync.Mutex
	mem  []byte // nil after close
	free []int
	next uint64
}

// openLedger opens or makes the file and gives the records in it. A file that
// is no ledger is made anew; a record that a kill cut short is dropped.
func openLedger(path string) (*ledger, []record, error) {
	mem, err := mapFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("map %s: %w", path, err)
	}
	if string(mem[:len(ledgerMagic)]) != ledgerMagic {
		clear(mem)
		copy(mem, ledgerMagic)
	}
	l := &ledger{mem: mem}
	var found []record
	for slot := range ledgerSlots {
		if r, ok := l.read(slot); ok {
			found = append(found, r)
			l.next = max(l.next, r.number+1)
			continue
		}
		clear(l.at(slot)) // also of what a kill, or an older node, left in it
		l.free = append(l.free, slot)
	}
	slices.SortFunc(found, func(a, b record) int { return cmp.Compare(a.number, b.number) })
	return l, found, nil
}

func mapFile(path string) ([]byte, error) {
	const size = ledgerSlot * (1 + ledgerSlots)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// The blocks must exist: a full disk is an error here and a SIGBUS later.
	if info, err := f.Stat(); err != nil || info.Size() != size {
		err = errors.Join(err, f.Truncate(0))
		if _, w := f.WriteAt(make([]byte, size), 0); err != nil || w != nil {
			return nil, errors.Join(err, w)
		}
	}
	return unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// doorMemory is vm.Config.Memory. It must not be used after close.
func (l *ledger) doorMemory() []byte {
	return l.mem[ledgerMemory : ledgerMemory+vm.MemorySize]
}

func (l *ledger) at(slot int) []byte {
	return l.mem[(1+slot)*ledgerSlot : (2+slot)*ledgerSlot]
}

func (l *ledger) read(slot int) (record, bool) {
	b := l.at(slot)
	n := int(binary.LittleEndian.Uint16(b[2:]))
	if (b[0] != slotLive && b[0] != slotMarked) || n > ledgerPayload || binary.LittleEndian.Uint32(b[4:]) != slotSum(b, n) {
		return record{}, false
	}
	return record{
		kind: recordKind(b[1]), slot: slot, marked: b[0] == slotMarked,
		number: binary.LittleEndian.Uint64(b[8:]), payload: slices.Clone(b[ledgerHeader : ledgerHeader+n]),
	}, true
}

func slotSum(b []byte, n int) uint32 {
	crc := crc32.Update(0, castagnoli, b[1:4])
	return crc32.Update(crc, castagnoli, b[8:ledgerHeader+n])
}

// add keeps a record and gives its slot, noSlot when it cannot.
func (l *ledger) add(kind recordKind, payload []byte) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mem == nil || len(l.free) == 0 || len(payload) > ledgerPayload {
		return noSlot
	}
	slot := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	b := l.at(slot)
	copy(b[ledgerHeader:], payload)
	binary.LittleEndian.PutUint64(b[8:], l.next)
	b[1] = byte(kind)
	binary.LittleEndian.PutUint16(b[2:], uint16(len(payload)))
	binary.LittleEndian.PutUint32(b[4:], slotSum(b, len(payload)))
	b[0] = slotLive
	l.next++
	return slot
}

// mark sets a record's mark, whose meaning is its owner's.
func (l *ledger) mark(slot int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mem != nil && slot != noSlot && l.at(slot)[0] == slotLive {
		l.at(slot)[0] = slotMarked
	}
}

// drop forgets a record. Nothing of it stays in the file: it may have been for
// the guest's eyes only.
func (l *ledger) drop(slot int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mem != nil && slot != noSlot && l.at(slot)[0] != slotFree {
		b := l.at(slot)
		b[0] = slotFree
		clear(b)
		l.free = append(l.free, slot)
	}
}

// close lets go of the file; what is added or dropped afterwards is not kept.
func (l *ledger) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	mem := l.mem
	l.mem = nil
	if mem == nil {
		return nil
	}
	return unix.Munmap(mem)
}
