package guest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path/filepath"
	"testing"
)

// bzImage is one with a payload, as its header says.
func bzImage(payload []byte) []byte {
	const sectors, offset = 3, 0x10
	b := make([]byte, (sectors+1)*sectorSize+offset)
	b[setupSectors] = sectors
	copy(b[setupMagic:], "HdrS")
	binary.LittleEndian.PutUint16(b[setupVersion:], 0x020F)
	binary.LittleEndian.PutUint32(b[payloadOffset:], offset)
	binary.LittleEndian.PutUint32(b[payloadLength:], uint32(len(payload)+4))
	return append(append(b, payload...), 0, 0, 0, 0)
}

func TestPayload(t *testing.T) {
	good := bzImage([]byte("packed"))
	got, err := payloadOf(good)
	if err != nil || string(got) != "packed" {
		t.Errorf("%q, %v", got, err)
	}
	for what, change := range map[string]func([]byte) []byte{
		"empty":      func([]byte) []byte { return nil },
		"no header":  func(b []byte) []byte { return b[:setupEnd-1] },
		"no magic":   func(b []byte) []byte { b[setupMagic] = 'X'; return b },
		"too old":    func(b []byte) []byte { b[setupVersion] = 7; b[setupVersion+1] = 2; return b },
		"cut":        func(b []byte) []byte { return b[:len(b)-1] },
		"no payload": func(b []byte) []byte { b[payloadLength] = 3; return b },
		"far away":   func(b []byte) []byte { b[payloadOffset+3] = 0xFF; return b },
	} {
		if got, err := payloadOf(change(bytes.Clone(good))); !errors.Is(err, errNotUnpacked) {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
}

// What QEMU cannot boot by PVH is not unpacked: it boots as it is.
func TestUnpackKernelRefuses(t *testing.T) {
	dir := t.TempDir()
	for what, payload := range map[string]string{
		"not by xz": "\x1f\x8b\x08",
		"no xz":     "\xFD7zXZ\x00 and nothing more",
	} {
		image := writeFile(t, bzImage([]byte(payload)), dir, what)
		if err := unpackKernel(t.Context(), image, filepath.Join(dir, "kernel")); !errors.Is(err, errNotUnpacked) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := entersByPVH([]byte("no ELF file")); !errors.Is(err, errNotUnpacked) {
		t.Error(err)
	}
}

func TestNotes(t *testing.T) {
	note := func(name string, desc int, kind uint32) []byte {
		b := binary.LittleEndian.AppendUint32(nil, uint32(len(name)))
		b = binary.LittleEndian.AppendUint32(b, uint32(desc))
		b = append(binary.LittleEndian.AppendUint32(b, kind), name...)
		return append(b, make([]byte, (4-len(name)%4)%4+(desc+3)/4*4)...)
	}
	all := append(note("GNU\x00", 20, 3), append(note("Xen\x00", 6, 6), note("Xen\x00", 4, noteEntry)...)...)
	for _, c := range []struct {
		notes []byte
		want  bool
	}{{all, true}, {all[:len(all)-1], false}, {nil, false}, {note("Xen\x00", 4, 17), false}, {note("GNU\x00", 4, noteEntry), false}, {bytes.Repeat([]byte{0xFF}, 40), false}} {
		if got := hasNote(c.notes, "Xen\x00", noteEntry); got != c.want {
			t.Errorf("% x: %v", c.notes, got)
		}
	}
}
