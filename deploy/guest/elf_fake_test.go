package guest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// section is one section of a fake ELF file.
type section struct {
	name string
	kind elf.SectionType
	data []byte
	link uint32
}

// fakeELF makes an x86-64 ELF file of the sections, with a PT_INTERP if a
// loader is given.
func fakeELF(interp string, sections ...section) []byte {
	const headerSize, progSize, sectionSize = 64, 56, 64
	names := []byte{0}
	sections = append([]section{{}}, sections...)
	sections = append(sections, section{name: ".shstrtab", kind: elf.SHT_STRTAB})

	var body bytes.Buffer
	place := func(data []byte) (offset uint64) {
		offset = uint64(headerSize + progSize + body.Len())
		body.Write(data)
		return offset
	}
	interpAt := place(append([]byte(interp), 0))
	headers := make([]elf.Section64, len(sections))
	for i, s := range sections {
		if s.name != "" {
			headers[i].Name = uint32(len(names))
			names = append(append(names, s.name...), 0)
		}
		if s.name == ".shstrtab" {
			s.data = names
		}
		headers[i].Type, headers[i].Link = uint32(s.kind), s.link
		headers[i].Size, headers[i].Off = uint64(len(s.data)), place(s.data)
	}
	header := elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1,
		Phoff: headerSize, Shoff: uint64(headerSize + progSize + body.Len()), Ehsize: headerSize,
		Phentsize: progSize, Shentsize: sectionSize, Shnum: uint16(len(sections)), Shstrndx: uint16(len(sections) - 1),
	}
	if interp != "" {
		header.Phnum = 1
	}
	prog := elf.Prog64{Type: uint32(elf.PT_INTERP), Off: interpAt, Filesz: uint64(len(interp) + 1)}

	var file bytes.Buffer
	for _, part := range []any{header, prog, body.Bytes(), headers} {
		binary.Write(&file, binary.LittleEndian, part)
	}
	return file.Bytes()
}

// fakeProgram links against the sonames.
func fakeProgram(interp string, needed ...string) []byte {
	strings := []byte{0}
	var dynamic []byte
	for _, soname := range needed {
		dynamic = binary.LittleEndian.AppendUint64(dynamic, uint64(elf.DT_NEEDED))
		dynamic = binary.LittleEndian.AppendUint64(dynamic, uint64(len(strings)))
		strings = append(append(strings, soname...), 0)
	}
	dynamic = append(dynamic, make([]byte, 16)...)
	return fakeELF(interp,
		section{name: ".dynstr", kind: elf.SHT_STRTAB, data: strings},
		section{name: ".dynamic", kind: elf.SHT_DYNAMIC, data: dynamic, link: 1})
}

// fakeModule carries a .modinfo section.
func fakeModule(modinfo string) []byte {
	return fakeELF("", section{name: ".modinfo", kind: elf.SHT_PROGBITS, data: []byte(modinfo)})
}

func writeFile(t *testing.T, data []byte, path ...string) string {
	t.Helper()
	name := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}
