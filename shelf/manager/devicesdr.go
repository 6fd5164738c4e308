package manager

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
)

// Commands by which a controller tells its own records (IPMI 2.0 §35.2 to §35.4).
const (
	cmdDeviceSDRInfo    ipmb.Cmd = 0x20
	cmdDeviceSDR        ipmb.Cmd = 0x21
	cmdReserveDeviceSDR ipmb.Cmd = 0x22

	countRecords = 0x01 // of Get Device SDR Info: how many records, not sensors
)

// How a controller's records are read.
const (
	// deviceSDRChunk is what of a record fits into an answer of 32 bytes, the
	// longest that IPMB carries; a controller that can do less says CAh.
	deviceSDRChunk    = 22
	deviceSDRChunkMin = 5
	// maxDeviceSDRs is how many records a controller may have: their number is
	// one byte of Get Device SDR Info.
	maxDeviceSDRs     = 255
	reservationsTried = 3
)

// asker sends a sensor command to one controller and gives what it answered.
type asker func(ctx context.Context, cmd ipmb.Cmd, data ...byte) ([]byte, error)

// deviceSDRInfo gives what Get Device SDR Info answers: the number of records,
// flags, and where the records can change, an indicator of changes. It is empty
// for a controller without records.
func deviceSDRInfo(ctx context.Context, ask asker) (info string, err error) {
	b, err := ask(ctx, cmdDeviceSDRInfo, countRecords)
	if errors.Is(err, ipmb.ErrInvalidCommand) {
		return "", nil
	}
	return string(b), err
}

// deviceSDRs reads all records of a controller. It begins again when the
// controller cancels the reservation, because its records have changed.
func deviceSDRs(ctx context.Context, ask asker) (records []mc.SDRRecord, err error) {
	for range reservationsTried {
		r := &deviceSDRReader{ask: ask, chunk: deviceSDRChunk}
		records, err = r.all(ctx)
		if !errors.Is(err, ipmb.ErrReservation) {
			return records, err
		}
	}
	return nil, err
}

// deviceSDRReader reads the records of a controller under one reservation.
type deviceSDRReader struct {
	ask         asker
	reservation []byte
	chunk       int
}

func (r *deviceSDRReader) all(ctx context.Context) (records []mc.SDRRecord, err error) {
	r.reservation, err = r.ask(ctx, cmdReserveDeviceSDR)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reserve the records: %w", err)
	case len(r.reservation) != 2:
		return nil, fmt.Errorf("a reservation of %d bytes", len(r.reservation))
	}
	seen := make(map[uint16]bool)
	for id := sdr.FirstID; id != sdr.LastID; {
		record, next, err := r.record(ctx, id)
		switch {
		case err != nil:
			return nil, fmt.Errorf("record %04x: %w", id, err)
		case id != sdr.FirstID && record.ID() != id:
			return nil, fmt.Errorf("record %04x calls itself %04x", id, record.ID())
		case seen[record.ID()] || len(records) == maxDeviceSDRs:
			return nil, fmt.Errorf("the records do not end: record %04x after %d", record.ID(), len(records))
		}
		seen[record.ID()] = true
		records = append(records, record)
		id = next
	}
	return records, nil
}

// record reads one record, its header first, and gives the id of the next.
func (r *deviceSDRReader) record(ctx context.Context, id uint16) (record mc.SDRRecord, next uint16, err error) {
	record, next, err = r.piece(ctx, id, 0, sdr.HeaderLen)
	if err != nil {
		return nil, 0, err
	}
	h, err := sdr.ParseHeader(record)
	if err != nil {
		return nil, 0, err
	}
	for whole := sdr.HeaderLen + int(h.Length); len(record) < whole; {
		piece, _, err := r.piece(ctx, h.ID, len(record), min(r.chunk, whole-len(record)))
		if errors.Is(err, ipmb.ErrCannotReturn) && r.chunk/2 >= deviceSDRChunkMin {
			r.chunk /= 2
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		record = append(record, piece...)
	}
	return record, next, nil
}

// piece reads part of a record:
//
//	reservation 2  record 2  offset  count  →  next record 2  bytes
func (r *deviceSDRReader) piece(ctx context.Context, id uint16, offset, count int) (piece []byte, next uint16, err error) {
	q := binary.LittleEndian.AppendUint16([]byte{r.reservation[0], r.reservation[1]}, id)
	b, err := r.ask(ctx, cmdDeviceSDR, append(q, byte(offset), byte(count))...)
	switch {
	case err != nil:
		return nil, 0, err
	case len(b) != 2+count:
		return nil, 0, fmt.Errorf("%d bytes where %d were asked for", len(b)-2, count)
	}
	return b[2:], binary.LittleEndian.Uint16(b), nil
}
