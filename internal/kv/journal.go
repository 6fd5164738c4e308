package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// An entry of a journal is one transaction, big-endian:
//
//	0  length of the body
//	4  CRC-32C of length, number and body
//	8  number of the transaction, from 1
//	16 body: buckets, each as
//	     name      length, bytes
//	     dropped   0 or 1
//	     records   their number, and of each the key (length, bytes) and the
//	               value (length + 1, bytes; 0: deleted)
//
// Lengths and numbers in the body are unsigned varints. An entry follows the
// one before it by number: at the first that does not, a journal ends. What
// stands there is left of an earlier use of the file, or was cut short.
const entryHeader = 16

// journal is a file that transactions are noted in.
type journal struct {
	file *os.File
	size int64 // of what is in use of it
	buf  []byte
}

// add notes a transaction. What a failed one leaves behind is written over by
// the next.
func (j *journal) add(number uint64, c changes) error {
	j.buf = appendEntry(j.buf[:0], number, c)
	n, err := j.file.WriteAt(j.buf, j.size)
	if err != nil {
		return err
	}
	j.size += int64(n)
	return nil
}

func appendEntry(out []byte, number uint64, c changes) []byte {
	start := len(out)
	out = append(out, make([]byte, entryHeader)...)
	for name, one := range c {
		out = one.append(appendBytes(out, name))
	}
	e := out[start:]
	binary.BigEndian.PutUint32(e, uint32(len(e)-entryHeader))
	binary.BigEndian.PutUint64(e[8:], number)
	binary.BigEndian.PutUint32(e[4:], entrySum(e))
	return out
}

func (b *bucketChanges) append(out []byte) []byte {
	dropped := byte(0)
	if b.dropped {
		dropped = 1
	}
	out = binary.AppendUvarint(append(out, dropped), uint64(len(b.keys)))
	for key, value := range b.keys {
		out = appendBytes(out, key)
		if value == nil {
			out = append(out, 0)
			continue
		}
		out = append(binary.AppendUvarint(out, uint64(len(value))+1), value...)
	}
	return out
}

func appendBytes(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func entrySum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:4], castagnoli), castagnoli, b[8:])
}

// entry is a transaction that was found in a journal.
type entry struct {
	number uint64
	changes
}

// readJournal gives the transactions in a file; one that is not there has none.
func readJournal(path string) ([]entry, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found, err := parseJournal(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return found, nil
}

func parseJournal(b []byte) (found []entry, err error) {
	for len(b) >= entryHeader {
		n := entryHeader + uint64(binary.BigEndian.Uint32(b))
		if n > uint64(len(b)) || binary.BigEndian.Uint32(b[4:]) != entrySum(b[:n]) {
			break
		}
		number := binary.BigEndian.Uint64(b[8:])
		if len(found) > 0 && number != found[len(found)-1].number+1 {
			break
		}
		c, err := parseChanges(b[entryHeader:n])
		if err != nil { // though its checksum is right
			return nil, fmt.Errorf("transaction %d: %w", number, err)
		}
		found = append(found, entry{number, c})
		b = b[n:]
	}
	return found, nil
}

func parseChanges(b []byte) (changes, error) {
	c, r := make(changes), reader{b: b}
	for len(r.b) > 0 && r.err == nil {
		one := c.bucket(string(r.bytes(r.uvarint())))
		if r.bytes(1)[0] != 0 {
			one.drop()
		}
		for n := r.uvarint(); n > 0 && r.err == nil; n-- {
			key := string(r.bytes(r.uvarint()))
			if size := r.uvarint(); size > 0 {
				one.keys[key] = append([]byte{}, r.bytes(size-1)...)
			} else {
				one.keys[key] = nil
			}
		}
	}
	return c, r.err
}

// reader takes bytes off b. After an error it gives zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.err = io.ErrUnexpectedEOF
	}
	if r.err != nil {
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.err = io.ErrUnexpectedEOF
	}
	if r.err != nil {
		return []byte{0}
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}
