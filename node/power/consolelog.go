package power

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// A consoleLog appends to a file and turns it over when it is full: console.log becomes console.log.1 and so on.
// Its owner is one goroutine.
type consoleLog struct {
	path  string
	limit int64
	older int
	file  *os.File
	size  int64
}

func openConsoleLog(path string, limit int64, older int) (*consoleLog, error) {
	l := &consoleLog{path: path, limit: limit, older: older}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return l, l.open()
}

func (l *consoleLog) open() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return err
	}
	l.file, l.size = f, size
	return nil
}

func (l *consoleLog) write(p []byte) error {
	if l.file == nil || l.size > 0 && l.size+int64(len(p)) > l.limit {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return err
}

// rotate closes the file and moves each one place on; the oldest falls off.
func (l *consoleLog) rotate() error {
	if err := l.close(); err != nil {
		return err
	}
	for i := l.older; i > 0; i-- {
		if err := os.Rename(l.name(i-1), l.name(i)); err != nil && !errors.Is(err, os.ErrNotExist) {
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

// tail returns the newest file's last n bytes, or fewer.
func (l *consoleLog) tail(n int) []byte {
	from := max(0, l.size-int64(n))
	buf := make([]byte, l.size-from)
	got, err := l.file.ReadAt(buf, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	return buf[:got]
}

func (l *consoleLog) close() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
