package state

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Field numbers of v1.Snapshot, v1.ShelfState and v1.SessionRow. The long
// lists are written field by field: a message object for each row would cost
// several times the snapshot's size in memory.
const (
	fieldSnapshotShelves  protowire.Number = 2
	fieldSnapshotSessions protowire.Number = 3
	fieldShelfLog         protowire.Number = 4
	fieldSessionInstance  protowire.Number = 1
	fieldSessionID        protowire.Number = 2
	fieldSessionAnswer    protowire.Number = 3
)

// Bytes that a row usually takes, to make room for all of them at once.
const (
	typicalEntry   = 72
	typicalSession = 40
)

var deterministic = proto.MarshalOptions{Deterministic: true}

// appendBinary appends the capture as a v1.Snapshot. Equal states give equal bytes.
func (c capture) appendBinary(b []byte) ([]byte, error) {
	b, err := deterministic.MarshalAppend(b, &v1.Snapshot{Version: c.version, Config: c.settings})
	if err != nil {
		return b, fmt.Errorf("state: encoding a snapshot: %w", err)
	}
	for _, sh := range c.shelves {
		body, err := sh.appendBinary(nil)
		if err != nil {
			return b, fmt.Errorf("state: encoding shelf %s: %w", sh.message.GetName(), err)
		}
		b = appendField(slices.Grow(b, len(body)+len(c.sessions)*typicalSession), fieldSnapshotShelves, body)
	}
	var body []byte
	for _, row := range c.sessions {
		body = row.appendBinary(body[:0])
		b = appendField(b, fieldSnapshotSessions, body)
	}
	return b, nil
}

func (c capturedShelf) appendBinary(b []byte) ([]byte, error) {
	entries := c.log.after(0, 0)
	b, err := deterministic.MarshalAppend(slices.Grow(b, len(entries)*typicalEntry), c.message)
	if err != nil {
		return b, err
	}
	var m v1.LogEntry
	var body []byte
	for _, e := range entries {
		e.fill(&m)
		if body, err = deterministic.MarshalAppend(body[:0], &m); err != nil {
			return b, err
		}
		b = appendField(b, fieldShelfLog, body)
	}
	return b, nil
}

func (c capturedSession) appendBinary(b []byte) []byte {
	b = protowire.AppendTag(b, fieldSessionInstance, protowire.BytesType)
	b = protowire.AppendString(b, c.instance)
	b = protowire.AppendTag(b, fieldSessionID, protowire.VarintType)
	b = protowire.AppendVarint(b, c.id)
	b = protowire.AppendTag(b, fieldSessionAnswer, protowire.BytesType)
	return protowire.AppendString(b, c.answer)
}

func appendField(b []byte, n protowire.Number, body []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), body)
}

// AppendSnapshot appends the whole state as an encoded v1.Snapshot. States that
// were given the same commands append the same bytes.
func (s *State) AppendSnapshot(b []byte) ([]byte, error) { return s.capture().appendBinary(b) }

// Snapshot gives the whole state as a message.
func (s *State) Snapshot() (*v1.Snapshot, error) {
	b, err := s.AppendSnapshot(nil)
	if err != nil {
		return nil, err
	}
	m := &v1.Snapshot{}
	if err := proto.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("state: reading back a snapshot: %w", err)
	}
	return m, nil
}
