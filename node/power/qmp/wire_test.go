package qmp

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestLineReader(t *testing.T) {
	long := strings.Repeat("x", 40<<10)
	r := newLineReader(strings.NewReader("\r\n{\"event\":\"STOP\"}\r\n{\"return\":\"" + long + "\",\"id\":7}\n{\"ret"))
	if m, err := r.next(); err != nil || m.Event != "STOP" {
		t.Fatalf("first: %+v, %v", m, err)
	}
	if m, err := r.next(); err != nil || *m.ID != 7 || len(m.Return) != len(long)+2 {
		t.Fatalf("second: id %v, %d bytes, %v", m.ID, len(m.Return), err)
	}
	if _, err := r.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut off line: %v", err)
	}
}

func TestLineReaderBoundsALine(t *testing.T) {
	r := newLineReader(io.LimitReader(endless{}, 2*maxLine))
	if _, err := r.next(); !errors.Is(err, errLineTooLong) {
		t.Errorf("err = %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// Whatever a peer sends, the reader ends without a panic and every message it yields came from one line.
func FuzzLineReader(f *testing.F) {
	f.Add("{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7}}}}\r\n{\"return\": {}, \"id\": 1}\r\n")
	f.Add("{\"event\": \"RESET\", \"timestamp\": {\"seconds\": -1, \"microseconds\": -1}}\n")
	f.Add("{\"error\": {\"class\": \"GenericError\", \"desc\": \"\"}}\n\n[1]\n")
	f.Fuzz(func(t *testing.T, in string) {
		r := newLineReader(strings.NewReader(in))
		n := 0
		for {
			m, err := r.next()
			if err != nil {
				break
			}
			_ = m.Timestamp.time()
			n++
		}
		if n > strings.Count(in, "\n") {
			t.Errorf("%d messages from %d lines", n, strings.Count(in, "\n"))
		}
	})
}
