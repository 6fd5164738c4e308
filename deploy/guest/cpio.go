package guest

import (
	"fmt"
	"io"
	"io/fs"
)

// File type bits of a cpio entry's mode (cpio(5), "newc").
const (
	cpioDir     = 0o040000
	cpioRegular = 0o100000
	cpioSymlink = 0o120000
)

// cpioWriter writes a "newc" cpio archive, as the kernel unpacks it:
//
//	"070701"  13 fields of 8 hex digits  name NUL  pad to 4  data  pad to 4
//
// Owner and times are zero, so that equal files make equal archives.
type cpioWriter struct {
	w   io.Writer
	ino uint32
	err error
}

// entry appends one file; mode includes the type bits.
func (c *cpioWriter) entry(name string, mode uint32, data []byte) {
	c.ino++
	nlink := 1
	if mode&cpioDir != 0 && mode&cpioRegular != cpioRegular {
		nlink = 2
	}
	c.record(c.ino, name, mode, nlink, data)
}

func (c *cpioWriter) record(ino uint32, name string, mode uint32, nlink int, data []byte) {
	const headerSize = 110
	c.printf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		ino, mode, 0, 0, nlink, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
	c.pad(headerSize + len(name) + 1)
	c.write(data)
	c.pad(len(data))
}

// close writes the trailer and returns the first error of all.
func (c *cpioWriter) close() error {
	c.record(0, "TRAILER!!!", 0, 1, nil)
	return c.err
}

func (c *cpioWriter) printf(format string, args ...any) {
	if c.err == nil {
		_, c.err = fmt.Fprintf(c.w, format, args...)
	}
}

func (c *cpioWriter) write(p []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(p)
	}
}

func (c *cpioWriter) pad(n int) {
	var zero [3]byte
	c.write(zero[:-n&3])
}

// cpioMode turns a Go file mode into a cpio one.
func cpioMode(mode fs.FileMode) uint32 {
	perm := uint32(mode.Perm())
	switch {
	case mode.IsDir():
		return cpioDir | perm
	case mode&fs.ModeSymlink != 0:
		return cpioSymlink | perm
	default:
		return cpioRegular | perm
	}
}
