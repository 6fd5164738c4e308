package pcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// Reader reads what a Writer wrote.
type Reader struct{ r io.Reader }

// NewReader reads the file header.
func NewReader(r io.Reader) (*Reader, error) {
	var h [fileHeaderLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	le := binary.LittleEndian
	if le.Uint32(h[:]) != magic || le.Uint16(h[4:]) != versionMajor || le.Uint32(h[20:]) != LinkType {
		return nil, ErrFormat
	}
	return &Reader{r: r}, nil
}

// Next reads the next record; io.EOF after the last.
func (r *Reader) Next() (Record, error) {
	var h [packetHeaderLen]byte
	if _, err := io.ReadFull(r.r, h[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return Record{}, io.EOF
		}
		return Record{}, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	le := binary.LittleEndian
	n := le.Uint32(h[8:])
	if n < traceHeaderLen || n > traceHeaderLen+MaxData {
		return Record{}, ErrRecord
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r.r, b); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	at := time.Unix(int64(le.Uint32(h[:])), int64(le.Uint32(h[4:]))*int64(time.Microsecond)).UTC()
	return parseRecord(at, b)
}

func parseRecord(at time.Time, b []byte) (Record, error) {
	data := b[traceHeaderLen:]
	if int(b[traceHeaderLen-1]) != len(data) {
		return Record{}, ErrRecord
	}
	flags := binary.LittleEndian.Uint16(b[8:])
	r := Record{
		Time: at, Block: Block(b[0] >> blockShift & blockMask), Channel: b[0] & channelMask,
		Protocol: Protocol(b[7]), To: flags&toBit != 0, Data: data,
	}
	if flags&planeBBit != 0 {
		r.Plane = ipmb.PlaneB
	}
	return r, nil
}
