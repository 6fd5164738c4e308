package state

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

func putRecord(name string, value ...byte) *v1.PutRecords {
	return &v1.PutRecords{Shelf: "lab", Put: []*v1.NamedRecord{{Name: name, Value: value}}}
}

func TestRecords(t *testing.T) {
	f := NewFSM(lab(t, Config{}), nil)
	steps := []*v1.PutRecords{
		putRecord("fru/0", 1, 2), putRecord("sdr/41", 3), putRecord("sdr", 4), putRecord("empty"),
		{Shelf: "lab", Delete: []string{"fru/0", "absent"}, Put: []*v1.NamedRecord{{Name: "sdr/41", Value: []byte{5}}}},
	}
	for _, c := range steps {
		diffAnswer(t, "put", apply(t, f.state, at(second, c)), &v1.Answer{})
	}
	want := []NamedRecord{{"empty", []byte{}}, {"sdr", []byte{4}}, {"sdr/41", []byte{5}}}
	if d := cmp.Diff(want, f.Records("lab", "")); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
	if d := cmp.Diff(want[1:], f.Records("lab", "sdr")); d != "" {
		t.Errorf("records of sdr (-want +got):\n%s", d)
	}
	if f.Record("lab", "fru/0") != nil || f.Record("lab", "empty") == nil || f.Record("other", "sdr") != nil || f.Records("other", "") != nil {
		t.Error("a record that is not there, or one that is and is not seen")
	}
}

// A request that comes again gets its first answer, also when the record has
// changed since.
func TestRecordsOnce(t *testing.T) {
	s := lab(t, Config{})
	first := putRecord("fru/0", 1)
	first.Response = []byte{7}
	diffAnswer(t, "first", apply(t, s, once(at(second, first), "node", 1)), &v1.Answer{Data: []byte{7}})
	apply(t, s, at(second, putRecord("fru/0", 2)))
	diffAnswer(t, "again", apply(t, s, once(at(second, first), "node", 1)), &v1.Answer{Data: []byte{7}})
	if got := s.shelf("lab").records.values["fru/0"]; got[0] != 2 {
		t.Errorf("the repeat took effect: % x", got)
	}
}

func TestRecordsAreBounded(t *testing.T) {
	tests := map[string]struct {
		c    *v1.PutRecords
		want ipmb.CompletionCode
	}{
		"no name":        {putRecord(""), ipmb.ErrInvalidField},
		"a long name":    {putRecord(strings.Repeat("n", maxRecordName+1)), ipmb.ErrInvalidField},
		"a long value":   {putRecord("n", make([]byte, maxRecordValue+1)...), ipmb.ErrInvalidField},
		"too many":       {many(maxRecords, 0), ipmb.ErrOutOfSpace},
		"too much":       {many(maxRecordBytes/maxRecordValue, maxRecordValue), ipmb.ErrOutOfSpace},
		"as many as fit": {many(maxRecords-1, 0), ipmb.OK},
	}
	for name, tt := range tests {
		s := lab(t, Config{})
		apply(t, s, at(second, putRecord("kept", 1)))
		before := snapshotBytes(t, s)
		diffAnswer(t, name, apply(t, s, at(second, tt.c)), &v1.Answer{CompletionCode: uint32(tt.want)})
		if same := string(before) == string(snapshotBytes(t, s)); same == (tt.want == ipmb.OK) {
			t.Errorf("%s: state changed %v", name, !same)
		}
	}
}

// many makes n records of a length.
func many(n, length int) *v1.PutRecords {
	c := &v1.PutRecords{Shelf: "lab"}
	for i := range n {
		c.Put = append(c.Put, &v1.NamedRecord{Name: fmt.Sprintf("r%04d", i), Value: make([]byte, length)})
	}
	return c
}
