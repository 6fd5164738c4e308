package mc

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"slices"
)

// The record of a table of parameters: version, set in progress, and for each
// value whether it is pending, its number, its set, its length and itself.
const (
	paramVersion   = 1
	paramHead      = 2
	paramEntryHead = 4
)

var errParamRecord = errors.New("record cannot be read")

func (s paramState) encode() []byte {
	out := []byte{paramVersion, flags(map[byte]bool{1: s.progress})}
	out = appendParams(out, 0, s.values)
	return appendParams(out, 1, s.pending)
}

func appendParams(out []byte, pending byte, values map[paramKey][]byte) []byte {
	for _, k := range slices.SortedFunc(maps.Keys(values), paramKey.compare) {
		out = append(out, pending, k.number, k.set, byte(len(values[k])))
		out = append(out, values[k]...)
	}
	return out
}

func (k paramKey) compare(o paramKey) int {
	return cmp.Or(cmp.Compare(k.number, o.number), cmp.Compare(k.set, o.set))
}

// parseParamState reads a record; nil gives the state of an untouched table.
func parseParamState(v []byte) (paramState, error) {
	s := paramState{values: make(map[paramKey][]byte), pending: make(map[paramKey][]byte)}
	if v == nil {
		return s, nil
	}
	if len(v) < paramHead || v[0] != paramVersion {
		return paramState{}, errParamRecord
	}
	s.progress = v[1] != 0
	for e := v[paramHead:]; len(e) > 0; {
		if len(e) < paramEntryHead || len(e) < paramEntryHead+int(e[3]) {
			return paramState{}, errParamRecord
		}
		end := paramEntryHead + int(e[3])
		to := s.values
		if e[0] != 0 {
			to = s.pending
		}
		to[paramKey{e[1], e[2]}] = bytes.Clone(e[paramEntryHead:end])
		e = e[end:]
	}
	return s, nil
}

// differs lists the parameters whose values are not the same in both.
func (s paramState) differs(o paramState) (out []uint8) {
	all := maps.Clone(s.values)
	maps.Copy(all, o.values)
	for k := range all {
		if !bytes.Equal(s.values[k], o.values[k]) {
			out = append(out, k.number)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
