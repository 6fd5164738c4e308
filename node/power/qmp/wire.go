package qmp

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxLine bounds one message. QEMU's longest known reply, query-qmp-schema, is below 1 MiB.
const maxLine = 4 << 20

// errLineTooLong ends a connection whose peer sent more than maxLine bytes without a line end.
var errLineTooLong = fmt.Errorf("qmp: message longer than %d bytes", maxLine)

// message is any line that a server sends; which fields are set tells its kind.
type message struct {
	Greeting  *greeting       `json:"QMP"`
	ID        *uint64         `json:"id"`
	Return    json.RawMessage `json:"return"`
	Error     *Error          `json:"error"`
	Event     string          `json:"event"`
	Data      json.RawMessage `json:"data"`
	Timestamp timestamp       `json:"timestamp"`
}

type greeting struct {
	Version struct {
		QEMU    Version `json:"qemu"`
		Package string  `json:"package"`
	} `json:"version"`
}

type timestamp struct {
	Seconds      int64 `json:"seconds"`
	Microseconds int64 `json:"microseconds"`
}

// time converts; QEMU sends -1 seconds when its clock could not be read, which becomes the zero time.
func (t timestamp) time() time.Time {
	if t.Seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(t.Seconds, t.Microseconds*1000)
}

// command is a line that a client sends.
type command struct {
	Execute   string `json:"execute"`
	Arguments any    `json:"arguments,omitempty"`
	ID        uint64 `json:"id"`
}

// lineReader cuts a byte stream into messages.
type lineReader struct{ r *bufio.Reader }

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{bufio.NewReaderSize(r, 16<<10)}
}

// next returns the next message; empty lines are passed over.
func (l *lineReader) next() (message, error) {
	for {
		line, err := l.line()
		if err != nil {
			return message{}, err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		var m message
		if err := json.Unmarshal(line, &m); err != nil {
			return message{}, fmt.Errorf("qmp: malformed message: %w", err)
		}
		return m, nil
	}
}

// line returns the bytes up to a line end; a last line without one counts as cut off.
func (l *lineReader) line() ([]byte, error) {
	var whole []byte
	for {
		part, err := l.r.ReadSlice('\n')
		switch {
		case err == nil && whole == nil:
			return part, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			if errors.Is(err, io.EOF) && len(whole)+len(part) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		case len(whole)+len(part) > maxLine:
			return nil, errLineTooLong
		}
		whole = append(whole, part...)
		if err == nil {
			return whole, nil
		}
	}
}
