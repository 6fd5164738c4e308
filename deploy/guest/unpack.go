package guest

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// The setup header of a bzImage (Linux, Documentation/arch/x86/boot.rst).
const (
	setupSectors  = 0x1F1
	setupMagic    = 0x202 // "HdrS"
	setupVersion  = 0x206 // 2.08 and later have what follows
	payloadOffset = 0x248 // from the end of the setup
	payloadLength = 0x24C // with its size when unpacked, in its last four bytes
	setupEnd      = 0x250
	sectorSize    = 512
)

// noteEntry is the type of the ELF note that says where PVH enters a kernel
// (Xen, public/elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY).
const noteEntry = 18

var errNotUnpacked = errors.New("the kernel cannot be unpacked")

// unpackKernel writes the ELF file in a bzImage, which QEMU boots by PVH. A
// kernel that unpacks itself takes longer for that than for all the rest of its
// boot where there is no KVM.
func unpackKernel(ctx context.Context, bzImage, to string) error {
	packed, err := os.ReadFile(bzImage)
	if err != nil {
		return err
	}
	payload, err := payloadOf(packed)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(payload, []byte("\xFD7zXZ\x00")) {
		return fmt.Errorf("%w: it is not packed by xz", errNotUnpacked)
	}
	var kernel, problem bytes.Buffer
	xz := exec.CommandContext(ctx, "xz", "-dc", "--single-stream")
	xz.Stdin, xz.Stdout, xz.Stderr = bytes.NewReader(payload), &kernel, &problem
	if err := xz.Run(); err != nil {
		return fmt.Errorf("%w: xz: %w: %s", errNotUnpacked, err, problem.Bytes())
	}
	if err := entersByPVH(kernel.Bytes()); err != nil {
		return err
	}
	return os.WriteFile(to, kernel.Bytes(), 0o644)
}

// payloadOf gives the packed kernel in a bzImage.
func payloadOf(image []byte) ([]byte, error) {
	if len(image) < setupEnd || string(image[setupMagic:][:4]) != "HdrS" || binary.LittleEndian.Uint16(image[setupVersion:]) < 0x0208 {
		return nil, fmt.Errorf("%w: it is no bzImage", errNotUnpacked)
	}
	sectors := uint64(image[setupSectors])
	if sectors == 0 {
		sectors = 4 // of old
	}
	begin := (sectors+1)*sectorSize + uint64(binary.LittleEndian.Uint32(image[payloadOffset:]))
	end := begin + uint64(binary.LittleEndian.Uint32(image[payloadLength:]))
	if end > uint64(len(image)) || end < begin+4 {
		return nil, fmt.Errorf("%w: its header points behind its end", errNotUnpacked)
	}
	return image[begin : end-4], nil
}

// entersByPVH reports what keeps QEMU from booting an ELF kernel.
func entersByPVH(kernel []byte) error {
	f, err := elf.NewFile(bytes.NewReader(kernel))
	if err != nil {
		return fmt.Errorf("%w: %w", errNotUnpacked, err)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		notes, err := io.ReadAll(p.Open())
		if err != nil {
			return fmt.Errorf("%w: its notes: %w", errNotUnpacked, err)
		}
		if hasNote(notes, "Xen\x00", noteEntry) {
			return nil
		}
	}
	return fmt.Errorf("%w: it has no PVH entry", errNotUnpacked)
}

// hasNote looks for a note: three words (length of the name, length of the
// description, type), then both, each filled up to words.
func hasNote(notes []byte, name string, kind uint32) bool {
	for len(notes) >= 12 {
		nameLen, descLen := uint64(binary.LittleEndian.Uint32(notes)), uint64(binary.LittleEndian.Uint32(notes[4:]))
		size := 12 + (nameLen+3)&^3 + (descLen+3)&^3
		if size > uint64(len(notes)) {
			return false
		}
		if binary.LittleEndian.Uint32(notes[8:]) == kind && string(notes[12:12+nameLen]) == name {
			return true
		}
		notes = notes[size:]
	}
	return false
}
