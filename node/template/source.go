package template

import (
	"fmt"
	"math"
	"slices"

	"github.com/midplane-project/midplane/node/thermal"
)

// Source is where a sensor has its value from. The zero Source is none.
type Source struct {
	Model string // a value of the thermal model; empty: Fixed
	Fixed float64
	Is    bool // there is one
}

// Value is what the source says at a moment.
func (s Source) Value(m thermal.Moment) (value float64, ok bool) {
	if s.Model != "" {
		return m.Value(s.Model)
	}
	return s.Fixed, s.Is
}

// sourceText is a word, or fixed and a value.
type sourceText struct {
	word  string
	fixed *float64
}

// UnmarshalYAML takes a word or a mapping.
func (s *sourceText) UnmarshalYAML(unmarshal func(any) error) error {
	if unmarshal(&s.word) == nil {
		return nil
	}
	s.word = ""
	var m struct {
		Fixed *float64 `yaml:"fixed"`
	}
	if err := unmarshal(&m); err != nil {
		return err
	}
	s.fixed = m.Fixed
	return nil
}

func (r *reader) source(at string, x sourceText) Source {
	switch {
	case x.fixed != nil:
		if math.IsNaN(*x.fixed) || math.IsInf(*x.fixed, 0) {
			r.add(at, "%g is no value", *x.fixed)
		}
		return Source{Fixed: *x.fixed, Is: true}
	case x.word == "":
		r.add(at, "is missing: %s, or {fixed: VALUE}", list(thermal.ValueNames()))
	case !slices.Contains(thermal.ValueNames(), x.word):
		r.add(at, "%q is not one of %s, nor {fixed: VALUE}", x.word, list(thermal.ValueNames()))
	}
	return Source{Model: x.word, Is: true}
}

// list shows words.
func list(words []string) string {
	s := fmt.Sprint(words)
	return s[1 : len(s)-1]
}
