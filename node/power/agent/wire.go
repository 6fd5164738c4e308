package agent

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// sentinel never occurs in UTF-8, so it marks the place where a stream of JSON starts anew.
const sentinel = 0xFF

// maxReply bounds one reply. guest-exec-status is the longest: twice 16 MiB of output in base64.
const maxReply = 48 << 20

var errReplyTooLong = fmt.Errorf("guest agent reply longer than %d bytes", maxReply)

// command is a request line.
type command struct {
	Execute   string `json:"execute"`
	Arguments any    `json:"arguments,omitempty"`
}

// reply is an answer line: exactly one of the two is set.
type reply struct {
	Return json.RawMessage `json:"return"`
	Error  *Error          `json:"error"`
}

// reader cuts the agent's byte stream into replies.
type reader struct{ r *bufio.Reader }

func newReader(r io.Reader) *reader { return &reader{bufio.NewReaderSize(r, 64<<10)} }

// next returns the next reply; empty lines are passed over.
func (d *reader) next() (reply, error) {
	for {
		line, err := d.line()
		if err != nil {
			return reply{}, err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		return parse(line)
	}
}

// nextSync returns the next reply that begins with a sentinel, and throws away what stands before it.
func (d *reader) nextSync() (reply, error) {
	for {
		line, err := d.line()
		if err != nil {
			return reply{}, err
		}
		start := bytes.LastIndexByte(line, sentinel)
		if start < 0 {
			continue
		}
		if r, err := parse(line[start+1:]); err == nil {
			return r, nil
		}
	}
}

func parse(line []byte) (reply, error) {
	var r reply
	if err := json.Unmarshal(line, &r); err != nil {
		return reply{}, fmt.Errorf("malformed reply: %w", err)
	}
	if r.Return == nil && r.Error == nil {
		return reply{}, errors.New("malformed reply: neither return nor error")
	}
	return r, nil
}

func (d *reader) line() ([]byte, error) {
	var whole []byte
	for {
		part, err := d.r.ReadSlice('\n')
		if len(whole)+len(part) > maxReply {
			return nil, errReplyTooLong
		}
		whole = append(whole, part...)
		if err == nil {
			return whole, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}

// syncs reports whether r answers the synchronisation with that id.
func (r reply) syncs(id int64) bool {
	var got int64
	return r.Error == nil && json.Unmarshal(r.Return, &got) == nil && got == id
}

// trimSentinel cuts a line to what follows its last sentinel.
func trimSentinel(line []byte) []byte {
	return line[bytes.LastIndexByte(line, sentinel)+1:]
}
