package guest

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// The golden archive is laid out by hand from the kernel's description of the
// format (Linux Documentation/driver-api/early-userspace/buffer-format.rst):
// ino, mode, uid, gid, nlink, mtime, filesize, device and rdevice numbers,
// namesize with the NUL, check.
var goldenCPIO = strings.Join([]string{
	"070701" + "00000001" + "000041ed" + "00000000" + "00000000" + "00000002" + "00000000" + "00000000" +
		"00000000" + "00000000" + "00000000" + "00000000" + "00000004" + "00000000" + "bin\x00" + "\x00\x00",
	"070701" + "00000002" + "000081ed" + "00000000" + "00000000" + "00000001" + "00000000" + "00000005" +
		"00000000" + "00000000" + "00000000" + "00000000" + "00000007" + "00000000" + "bin/sh\x00" + "\x00\x00\x00" +
		"hello" + "\x00\x00\x00",
	"070701" + "00000003" + "0000a1ff" + "00000000" + "00000000" + "00000001" + "00000000" + "00000006" +
		"00000000" + "00000000" + "00000000" + "00000000" + "00000005" + "00000000" + "init\x00" + "\x00" +
		"bin/sh" + "\x00\x00",
	"070701" + "00000000" + "00000000" + "00000000" + "00000000" + "00000001" + "00000000" + "00000000" +
		"00000000" + "00000000" + "00000000" + "00000000" + "0000000b" + "00000000" + "TRAILER!!!\x00" + "\x00\x00\x00",
}, "")

func TestTreeIsCPIO(t *testing.T) {
	files := tree{}
	files.symlink("init", "bin/sh")
	files.file("bin/sh", 0o755, []byte("hello"))

	var packed bytes.Buffer
	if err := files.writeTo(&packed); err != nil {
		t.Fatal(err)
	}
	if got := packed.String(); got != goldenCPIO {
		t.Errorf("got\n%q\nwant\n%q", got, goldenCPIO)
	}
}

func TestCPIOKeepsFirstError(t *testing.T) {
	full := errors.New("disk full")
	archive := cpioWriter{w: &failingWriter{after: 3, err: full}}
	for range 10 {
		archive.entry("file", cpioRegular|0o644, []byte("data"))
	}
	if err := archive.close(); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type failingWriter struct {
	after int
	err   error
}

func (f *failingWriter) Write(p []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, f.err
	}
	return len(p), nil
}
