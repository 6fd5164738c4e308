package power

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A console log has two files: the bytes as they came, and times beside them. A stamp says when the bytes from
// its offset on came: time in milliseconds since 1970 (8 bytes, big endian) | offset (8 bytes).
const (
	stampLen   = 16
	stampEvery = 100 * time.Millisecond // bytes that follow sooner have no stamp of their own
	stampShare = 4                      // the times take at most that part of what the bytes may
	stampMin   = 4 * stampLen
	timesFile  = ".times"
)

// A consoleLog appends to a file and turns it over when it is full: console.log becomes console.log.1 and so on.
// One goroutine writes, any may read what is past.
type consoleLog struct {
	path  string
	limit int64
	older int

	mu      sync.Mutex
	file    *os.File
	times   *os.File // nil: no times are kept
	size    int64
	stamped int64 // bytes of times
	last    time.Time
	moves   int // files that a rotation has yet to move
}

func openConsoleLog(path string, limit int64, older int) (*consoleLog, error) {
	l := &consoleLog{path: path, limit: limit, older: older}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return l, l.open()
}

func (l *consoleLog) open() (err error) {
	if l.file, l.size, err = openEnd(l.path); err != nil {
		return err
	}
	if l.times, l.stamped, err = openEnd(l.path + timesFile); err != nil {
		return errors.Join(err, l.shut())
	}
	l.last = time.Time{}
	if torn := l.stamped % stampLen; torn != 0 { // by a loss of power
		l.stamped -= torn
		err = l.times.Truncate(l.stamped)
	}
	return err
}

func openEnd(path string) (*os.File, int64, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, 0, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, size, nil
}

func (l *consoleLog) write(p []byte, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil { // the last rotation did not come to its end
		if err := l.goOn(); err != nil {
			return err
		}
	}
	due := now.Sub(l.last) >= stampEvery || now.Before(l.last)
	full := l.size > 0 && l.size+int64(len(p)) > l.limit || due && l.stamped+stampLen > max(l.limit/stampShare, stampMin)
	if full {
		if err := l.rotate(); err != nil {
			return err
		}
		due = true
	}
	if due {
		if err := l.stamp(now); err != nil {
			return err
		}
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return err
}

// stamp notes when the next bytes come.
func (l *consoleLog) stamp(now time.Time) error {
	b := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli()))
	n, err := l.times.Write(binary.BigEndian.AppendUint64(b, uint64(l.size)))
	if err != nil { // half of one would put all that follow out of place
		if n > 0 {
			err = errors.Join(err, l.times.Truncate(l.stamped))
		}
		return err
	}
	l.stamped, l.last = l.stamped+stampLen, now
	return nil
}

// rotate closes the files and moves each one place on; the oldest fall off.
func (l *consoleLog) rotate() error {
	l.moves = 2 * l.older
	if err := l.shut(); err != nil {
		return err
	}
	return l.goOn()
}

// goOn does what is left of a rotation. What has moved does not move again: it would fall on an older log.
func (l *consoleLog) goOn() error {
	for ; l.moves > 0; l.moves-- {
		age, kind := (l.moves+1)/2, timesFile
		if l.moves%2 == 0 {
			kind = ""
		}
		if err := os.Rename(l.name(age-1)+kind, l.name(age)+kind); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return l.open()
}

func (l *consoleLog) name(age int) string {
	if age == 0 {
		return l.path
	}
	return fmt.Sprintf("%s.%d", l.path, age)
}

func (l *consoleLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shut()
}

func (l *consoleLog) shut() error {
	var errs []error
	for _, f := range []**os.File{&l.file, &l.times} {
		if *f != nil {
			errs = append(errs, (*f).Close())
			*f = nil
		}
	}
	return errors.Join(errs...)
}

// tail returns the last n bytes, or fewer.
func (l *consoleLog) tail(n int) []byte {
	p, err := l.past(time.Time{})
	if err != nil {
		return nil
	}
	defer p.Close()
	var out []byte
	for {
		piece, err := p.next()
		if err != nil {
			return out[max(0, len(out)-n):]
		}
		if out = append(out, piece.data...); len(out) > 2*n {
			out = append([]byte(nil), out[len(out)-n:]...)
		}
	}
}

// past gives what the log has from a time on, the zero time for all of it. What is written later is not in it.
func (l *consoleLog) past(since time.Time) (*past, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &past{}
	for age := l.older; age >= 0; age-- {
		part, err := openPart(l.name(age))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		part.skip(since)
		p.parts = append(p.parts, part)
	}
	return p, nil
}

// A past is what a console log has, oldest first.
type past struct{ parts []*pastPart }

// pastPart is one pair of files: bytes from at to end.
type pastPart struct {
	file    *os.File
	at, end int64
	stamps  []stamp
}

// stamp says when the bytes from an offset on came.
type stamp struct {
	at     time.Time
	offset int64
}

// pastPiece is what came at about one time, which is zero if nobody noted it.
type pastPiece struct {
	at   time.Time
	data []byte
}

func openPart(path string) (*pastPart, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	raw, err := os.ReadFile(path + timesFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(err, f.Close())
	}
	return &pastPart{file: f, end: info.Size(), stamps: parseStamps(raw, info.Size())}, nil
}

// parseStamps reads times for a file of a size; those that cannot be of it are left out.
func parseStamps(raw []byte, size int64) (out []stamp) {
	last := int64(-1)
	for ; len(raw) >= stampLen; raw = raw[stampLen:] {
		s := stamp{time.UnixMilli(int64(binary.BigEndian.Uint64(raw))), int64(binary.BigEndian.Uint64(raw[8:]))}
		if s.offset > last && s.offset < size {
			out = append(out, s)
			last = s.offset
		}
	}
	return out
}

// skip leaves out what came before a time.
func (p *pastPart) skip(since time.Time) {
	if since.IsZero() {
		return
	}
	for i, s := range p.stamps {
		if !s.at.Add(stampEvery).Before(since) {
			p.at, p.stamps = s.offset, p.stamps[i:]
			return
		}
	}
	p.at, p.stamps = p.end, nil
}

const pastPieceMax = 16 << 10

// next gives the next piece; io.EOF at the end.
func (p *past) next() (pastPiece, error) {
	for len(p.parts) > 0 {
		part := p.parts[0]
		if part.at < part.end {
			return part.next()
		}
		_ = part.file.Close()
		p.parts = p.parts[1:]
	}
	return pastPiece{}, io.EOF
}

func (p *pastPart) next() (out pastPiece, err error) {
	upTo := min(p.end, p.at+pastPieceMax)
	for len(p.stamps) > 1 && p.stamps[1].offset <= p.at {
		p.stamps = p.stamps[1:]
	}
	for _, s := range p.stamps {
		if s.offset <= p.at {
			out.at = s.at
		} else {
			upTo = min(upTo, s.offset)
			break
		}
	}
	out.data = make([]byte, upTo-p.at)
	if _, err := p.file.ReadAt(out.data, p.at); err != nil {
		return out, err
	}
	p.at = upTo
	return out, nil
}

// Close lets go of the files.
func (p *past) Close() error {
	var errs []error
	for _, part := range p.parts {
		errs = append(errs, part.file.Close())
	}
	p.parts = nil
	return errors.Join(errs...)
}
