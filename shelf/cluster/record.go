package cluster

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"github.com/hashicorp/raft"
)

// Every stored value is sealed with a CRC-32C over its key and its body, since
// bbolt's pages carry none; the key is in it so that a record cannot stand in
// for another one.
//
//	crc32c[4]  body…
//
// A log entry's body, big-endian like its key:
//
//	version[1] type[1] term[8] appendedAt[8] extLen[4] extensions[extLen] data…
//
// appendedAt is in Unix nanoseconds, 0 for the zero time.
const (
	crcLen        = 4
	logVersion    = 1
	logFixedLen   = 1 + 1 + 8 + 8 + 4
	offLogType    = 1
	offLogTerm    = 2
	offLogTime    = 10
	offLogExtLen  = 18
	maxExtensions = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errShortRecord = errors.New("too short")
	errChecksum    = errors.New("checksum does not match")
	errLogVersion  = errors.New("unknown record version")
	errLogLengths  = errors.New("lengths do not fit")
)

func checksum(key, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, body)
}

// seal returns body with its checksum in front.
func seal(key, body []byte) []byte {
	b := make([]byte, crcLen, crcLen+len(body))
	binary.BigEndian.PutUint32(b, checksum(key, body))
	return append(b, body...)
}

// open checks a sealed record and returns its body, still in b's memory.
func open(key, b []byte) ([]byte, error) {
	if len(b) < crcLen {
		return nil, errShortRecord
	}
	body := b[crcLen:]
	if binary.BigEndian.Uint32(b) != checksum(key, body) {
		return nil, errChecksum
	}
	return body, nil
}

// sealLog returns the sealed record of one log entry.
func sealLog(key []byte, l *raft.Log) []byte {
	b := make([]byte, crcLen, crcLen+logFixedLen+len(l.Extensions)+len(l.Data))
	b = append(b, logVersion, byte(l.Type))
	b = binary.BigEndian.AppendUint64(b, l.Term)
	b = binary.BigEndian.AppendUint64(b, uint64(nanos(l.AppendedAt)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(l.Extensions)))
	b = append(b, l.Extensions...)
	b = append(b, l.Data...)
	binary.BigEndian.PutUint32(b, checksum(key, b[crcLen:]))
	return b
}

// openLog decodes a sealed log entry. The result shares no memory with b,
// which may be a page of the memory-mapped file.
func openLog(key, b []byte) (raft.Log, error) {
	body, err := open(key, b)
	if err != nil {
		return raft.Log{}, err
	}
	if len(body) < logFixedLen {
		return raft.Log{}, errShortRecord
	}
	if body[0] != logVersion {
		return raft.Log{}, errLogVersion
	}
	extLen := binary.BigEndian.Uint32(body[offLogExtLen:])
	rest := body[logFixedLen:]
	if extLen > maxExtensions || int(extLen) > len(rest) {
		return raft.Log{}, errLogLengths
	}
	return raft.Log{
		Index:      binary.BigEndian.Uint64(key),
		Type:       raft.LogType(body[offLogType]),
		Term:       binary.BigEndian.Uint64(body[offLogTerm:]),
		AppendedAt: fromNanos(int64(binary.BigEndian.Uint64(body[offLogTime:]))),
		Extensions: clone(rest[:extLen]),
		Data:       clone(rest[extLen:]),
	}, nil
}

// clone copies b; an empty b becomes nil.
func clone(b []byte) []byte {
	return append([]byte(nil), b...)
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// logKey is a log index as bbolt's key: big-endian, so that keys sort as numbers.
func logKey(index uint64) []byte {
	return binary.BigEndian.AppendUint64(nil, index)
}
