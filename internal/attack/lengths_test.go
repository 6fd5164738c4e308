package attack

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/decode"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// S14: clients trust the lengths that a controller tells and copy what comes
// (ipmitool's read_fru did, CVE-2020-5208): a read never gives more than was
// asked for, and what is counted is as long as it says, whatever is asked.
func TestAttackS14Lengths(t *testing.T) {
	b := lone(t)
	c := b.door.login(t).raise()
	for i := range 3 {
		if got := c.do(ipmb.NetFnStorage, 0x44, slices.Concat([]byte{0, 0, 0xE0}, bytes.Repeat([]byte{byte(i)}, 13))...); got[0] != 0 {
			t.Fatalf("SEL record: % x", got)
		}
	}
	for name, ask := range map[string]asking{
		"by LAN": c.do,
		"by the guest": func(n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) []byte {
			code, out, err := b.guest.Do(t.Context(), n, 0, cmd, data)
			if err != nil {
				t.Fatal(err)
			}
			return append([]byte{byte(code)}, out...)
		},
		"bridged": func(n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) []byte {
			code, f := c.innermost(frame(manager, 0x81, 9, n, cmd, data...))
			if code != 0 && f.Data == nil {
				return []byte{code}
			}
			return f.Data
		},
	} {
		fruLengths(t, name, ask)
		recordLengths(t, name, ask)
	}
}

type asking func(n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) []byte

func fruLengths(t *testing.T, name string, ask asking) {
	t.Helper()
	info := ask(ipmb.NetFnStorage, 0x10, 0)
	size, given := binary.LittleEndian.Uint16(info[1:]), 0
	for _, at := range []uint16{0, 1, size / 2, size - 2, size - 1, size, size + 1, 0xFFFF} {
		for _, count := range []int{0, 1, 2, 7, 8, 22, 23, 24, 25, 31, 32, 33, 63, 64, 127, 128, 129, 200, 253, 254, 255} {
			got := ask(ipmb.NetFnStorage, 0x11, 0, byte(at), byte(at>>8), byte(count))
			if got[0] != 0 {
				continue
			}
			given += int(got[1])
			if int(got[1]) > count || len(got) != 2+int(got[1]) || int(at)+int(got[1]) > int(size) {
				t.Errorf("%s: FRU of %d: %d at %d give % x", name, size, count, at, got)
			}
		}
	}
	if given == 0 {
		t.Errorf("%s: nothing was read", name)
	}
}

// recordLengths reads records of sensors and of the log, each part of each.
func recordLengths(t *testing.T, name string, ask asking) {
	t.Helper()
	for what, at := range map[string]struct {
		n   ipmb.NetFn
		cmd ipmb.Cmd
		max int // bytes of a record
	}{
		"SDR": {ipmb.NetFnStorage, 0x23, 255 + 5}, "device SDR": {ipmb.NetFnSensor, 0x21, 255 + 5}, "SEL": {ipmb.NetFnStorage, 0x43, 16},
	} {
		resv := ask(ipmb.NetFnStorage, map[string]ipmb.Cmd{"SDR": 0x22, "SEL": 0x42}[what])
		if what == "device SDR" {
			resv = ask(ipmb.NetFnSensor, 0x22)
		}
		read := 0
		for next, records := uint16(0), 0; next != 0xFFFF && records < 100; records++ {
			this := next
			part := func(offset, count int) []byte {
				return ask(at.n, at.cmd, resv[1], resv[2], byte(this), byte(this>>8), byte(offset), byte(count))
			}
			head := part(0, 5)
			if head[0] != 0 {
				break
			}
			next = binary.LittleEndian.Uint16(head[1:])
			whole := at.max
			if at.max > 16 {
				whole = int(head[7]) + 5
			}
			for _, offset := range []int{0, 1, 5, whole - 1, whole, 255} {
				for _, count := range []int{0, 1, 5, 16, 22, 32, 64, 128, 254, 255} {
					got := part(offset, count)
					if got[0] != 0 {
						continue
					}
					read++
					if n := len(got) - 3; n > count || offset+n > whole {
						t.Errorf("%s: %s %04x: %d at %d give % x", name, what, this, count, offset, got)
					}
				}
			}
		}
		if read == 0 {
			t.Errorf("%s: no %s was read", name, what)
		}
	}
}

// S14: what guests and sessions may name, people's terminals show: control
// characters stay out of it.
func TestAttackS14Strings(t *testing.T) {
	b := lone(t)
	evil := "\x1b]0;you\x07\r\n\x00\x7f\x9b"
	name := append([]byte{4}, (evil + strings.Repeat("x", 16))[:16]...)
	if code, _, err := b.guest.Do(t.Context(), ipmb.NetFnApp, 0, 0x45, name); code != ipmb.ErrInvalidField || err != nil {
		t.Errorf("user name: %v, %v", code, err)
	}
	record := append([]byte{0, 0, 0xF0, 0x20, 0}, (evil + strings.Repeat("y", 16))[:11]...)
	code, id, err := b.guest.Do(t.Context(), ipmb.NetFnStorage, 0, 0x44, record)
	if code != 0 || err != nil {
		t.Fatalf("SEL record: %v, %v", code, err)
	}
	code, got, err := b.guest.Do(t.Context(), ipmb.NetFnStorage, 0, 0x43, slices.Concat([]byte{0, 0}, id, []byte{0, 0xFF}))
	if code != 0 || err != nil || !bytes.Contains(got, []byte(evil[:4])) {
		t.Fatalf("SEL record: %v % x, %v", code, got, err)
	}
	r, err := sel.Parse(got[2:])
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{
		"SEL":   sel.Describe(r),
		"trace": decode.Line(decode.Entry{Kind: decode.KindNote, Bytes: []byte(evil)}),
		"log":   b.log.String(),
	} {
		for _, line := range strings.Split(text, "\n") {
			if i := strings.IndexFunc(line, unicode.IsControl); i >= 0 {
				t.Errorf("%s: %q", where, line)
			}
		}
	}
}
