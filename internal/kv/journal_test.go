package kv

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
)

func FuzzParseJournal(f *testing.F) {
	one := changes{
		"a": {dropped: true, keys: map[string][]byte{"k": []byte("value"), "gone": nil, "empty": {}}},
		"b": {keys: map[string][]byte{}},
	}
	two := appendEntry(appendEntry(nil, 7, one), 8, changes{"c": {keys: map[string][]byte{"k": {1}}}})
	f.Add(two)
	f.Add(two[:len(two)-1])
	f.Add(appendEntry(appendEntry(nil, 7, one), 9, one)) // a number is missing
	f.Fuzz(func(t *testing.T, raw []byte) {
		found, err := parseJournal(sealed(raw))
		if err != nil {
			return
		}
		var again []byte
		for _, e := range found {
			again = appendEntry(again, e.number, e.changes)
		}
		if back, err := parseJournal(again); err != nil || !reflect.DeepEqual(back, found) {
			t.Errorf("%v, %v; was %v", back, err, found)
		}
	})
}

// sealed gives the first entry the length and checksum that it should have, so
// that the fuzzer comes past them.
func sealed(raw []byte) []byte {
	if len(raw) < entryHeader {
		return raw
	}
	b := bytes.Clone(raw)
	if n := entryHeader + int(b[3]); b[0]|b[1]|b[2] == 0 && n <= len(b) {
		copy(b[4:], []byte{0, 0, 0, 0})
		sum := entrySum(b[:n])
		b[4], b[5], b[6], b[7] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
	}
	return b
}

func TestParseJournal(t *testing.T) {
	put := func(v byte) changes { return changes{"c": {keys: map[string][]byte{"k": {v}}}} }
	two := slices.Clip(appendEntry(appendEntry(nil, 7, put(1)), 8, put(2)))
	for name, c := range map[string]struct {
		raw  []byte
		want int
	}{
		"both": {two, 2}, "cut": {two[:len(two)-1], 1}, "nothing": {nil, 0}, "zeros": {make([]byte, 100), 0},
		"left of an earlier use": {appendEntry(two, 3, put(3)), 2},
		"a gap":                  {appendEntry(two, 10, put(3)), 2},
	} {
		found, err := parseJournal(c.raw)
		if err != nil || len(found) != c.want {
			t.Errorf("%s: %v, %v; want %d", name, found, err, c.want)
		}
		for i, e := range found {
			if e.number != uint64(7+i) || !reflect.DeepEqual(e.changes, put(byte(1+i))) {
				t.Errorf("%s: entry %d is %v", name, i, e)
			}
		}
	}
	bad := appendEntry(nil, 1, put(1))
	bad[entryHeader] = 200 // a name that is longer than the entry
	if found, err := parseJournal(sealed(bad)); err == nil {
		t.Errorf("nonsense with a checksum: %v", found)
	}
}
