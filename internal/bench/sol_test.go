package main

import (
	"slices"
	"testing"
)

func TestMissing(t *testing.T) {
	text := counted(3, 1<<16)
	if len(text) != 1<<16 || slices.Equal(text, counted(4, 1<<16)) {
		t.Errorf("%d characters, the same in each round", len(text))
	}
	cut := func(at, n int) []byte { return slices.Concat(text[:at], text[at+n:]) }
	for name, tt := range map[string]struct {
		got  []byte
		lost int
		bad  bool
	}{
		"all":            {got: text},
		"nothing":        {lost: len(text)},
		"without an end": {got: text[:1000], lost: len(text) - 1000},
		"with a hole":    {got: cut(500, 77), lost: 77},
		"with two":       {got: cut(500, 7)[:1<<15], lost: len(text) - 1<<15},
		"a part twice":   {got: slices.Concat(text[:2000], text[1000:]), bad: true},
		"swapped":        {got: slices.Concat(text[1000:], text[:1000]), bad: true},
		"of before":      {got: slices.Concat(counted(2, 100), text[100:]), bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			lost, err := missing(text, tt.got)
			if lost != tt.lost || (err != nil) != tt.bad {
				t.Errorf("%d lost, %v", lost, err)
			}
		})
	}
}
