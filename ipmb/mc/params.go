package mc

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/midplane-project/midplane/ipmb"
)

// Parameter is one row of a table of configuration parameters.
type Parameter struct {
	Number uint8
	Data   ipmb.Span // of a value, with its set selector
	// Sets is how many values there are. Each then begins with its set
	// selector, from 0. 0: there is one value, without selector.
	Sets      int
	ReadOnly  bool
	Transient bool   // tells of what runs on the system: gone when that is reset
	Default   []byte // the selector in it does not matter
	// Check may refuse a value of the right length; nil: all are well.
	Check func(v []byte) error
	// Complete gives the value as it is kept; nil: as it was written.
	Complete func(v []byte) []byte
}

// ParameterHook is what acts by parameters.
type ParameterHook interface {
	// Check may refuse a value with a completion code, before it is kept.
	Check(number uint8, value []byte) error
	// Changed says that a parameter has a new value, which holds and is on disk.
	Changed(number uint8)
}

// ParameterActor is a ParameterHook that may fail at what is to hold.
type ParameterActor interface {
	ParameterHook
	// Prepare gets ready for what get will give of the parameters that change.
	// Its error is the answer, and all stays as it was; else done, if not nil,
	// says whether they were kept. Neither may ask the table.
	Prepare(changed []uint8, get func(number, set uint8) []byte) (done func(kept bool), err error)
}

// Set in progress, parameter 0 of every table (IPMI 2.0 §23.1, table 23-4).
const (
	setInProgress = 0

	setComplete = 0
	setBegun    = 1
	setCommit   = 2
)

// Completion codes and values of the parameter commands.
const (
	parameterRevision = 0x11
	revisionOnly      = 0x80
)

// paramKey names a value of a table.
type paramKey struct{ number, set uint8 }

// paramState is what a table keeps: the values that were written and hold, and
// those that wait for a commit.
type paramState struct {
	progress bool
	values   map[paramKey][]byte
	pending  map[paramKey][]byte
}

func (s paramState) clone() paramState {
	s.values, s.pending = maps.Clone(s.values), maps.Clone(s.pending)
	return s
}

// Parameters are a table of configuration parameters with their values. What is
// written while a set is in progress waits for its commit, and is dropped when
// the set ends without one; who reads meanwhile sees it already, as clients
// do that verify before they commit.
type Parameters struct {
	rows    map[uint8]*Parameter
	presets map[paramKey][]byte // defaults that only this controller has
	name    string              // of the record
	records Records
	// Refused, if set, is told of each Set command that was not done. It is to
	// be set before the first request.
	Refused func(req *ipmb.Request, err error)

	mu    sync.Mutex
	hooks []ParameterHook
	state paramState
}

// OpenParameters reads the values of a table from their record. A value that
// the table does not take any more is forgotten.
func OpenParameters(r Records, name string, table []Parameter) (*Parameters, error) {
	p := &Parameters{rows: make(map[uint8]*Parameter), presets: make(map[paramKey][]byte), name: name, records: r}
	for i := range table {
		p.rows[table[i].Number] = &table[i]
	}
	v, err := r.Get(name)
	if err != nil {
		return nil, err
	}
	if p.state, err = parseParamState(v); err != nil {
		return nil, fmt.Errorf("parameters %s: %w", name, err)
	}
	for _, values := range []map[paramKey][]byte{p.state.values, p.state.pending} {
		maps.DeleteFunc(values, func(k paramKey, v []byte) bool { return p.check(k.number, v) != nil })
	}
	return p, nil
}

// Watch adds who acts by the parameters.
func (p *Parameters) Watch(h ParameterHook) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hooks = append(p.hooks, h)
}

// Preset gives a parameter another default, which only this controller has.
func (p *Parameters) Preset(number uint8, v []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.presets[paramKey{number: number}] = bytes.Clone(v)
}

// Unset forgets what was written to parameters.
func (p *Parameters) Unset(numbers ...uint8) error {
	return p.change(func(s *paramState) error {
		for _, values := range []map[paramKey][]byte{s.values, s.pending} {
			maps.DeleteFunc(values, func(k paramKey, _ []byte) bool { return slices.Contains(numbers, k.number) })
		}
		return nil
	})
}

// Get gives the value that holds, with its set selector if it has one; nil
// when there is no such parameter.
func (p *Parameters) Get(number, set uint8) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.find(number, set, p.state.values, p.presets)
}

// Shown gives the value that a Get command shows: one that waits for its
// commit, else as Get.
func (p *Parameters) Shown(number, set uint8) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.find(number, set, p.state.pending, p.state.values, p.presets)
}

// find gives a value of the first layer that has it.
func (p *Parameters) find(number, set uint8, layers ...map[paramKey][]byte) []byte {
	row := p.rows[number]
	if row == nil || row.Sets > 0 && int(set) >= row.Sets {
		return nil
	}
	return bytes.Clone(row.value(set, layers...))
}

// value finds a value, the default when it was never written.
func (r *Parameter) value(set uint8, layers ...map[paramKey][]byte) []byte {
	if r.Sets == 0 {
		set = 0
	}
	for _, values := range layers {
		if v, ok := values[paramKey{r.Number, set}]; ok {
			return v
		}
	}
	v := bytes.Clone(r.Default)
	if r.Sets > 0 {
		v[0] = set
	}
	return v
}

// read answers a Get command: first byte with the revision-only bit, number,
// set selector, block selector. No parameter here has blocks.
func (p *Parameters) read(d []byte) ([]byte, error) {
	number, set := d[1], d[2]
	row := p.rows[number]
	if row == nil && number != setInProgress {
		return nil, ipmb.ErrParamUnsupported
	}
	if d[0]&revisionOnly != 0 {
		return []byte{parameterRevision}, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if number == setInProgress {
		return []byte{parameterRevision, flags(map[byte]bool{setBegun: p.state.progress})}, nil
	}
	if row.Sets > 0 && int(set) >= row.Sets {
		return nil, ipmb.ErrParameterRange
	}
	return append([]byte{parameterRevision}, row.value(set, p.state.pending, p.state.values, p.presets)...), nil
}

// write does a Set command: number and value.
func (p *Parameters) write(number uint8, v []byte) error {
	if number == setInProgress {
		return p.progress(v)
	}
	if err := p.check(number, v); err != nil {
		return err
	}
	p.mu.Lock()
	hooks := p.hooks
	p.mu.Unlock()
	for _, h := range hooks { // without the lock: they may read
		if err := h.Check(number, v); err != nil {
			return err
		}
	}
	row := p.rows[number]
	if v = bytes.Clone(v); row.Complete != nil {
		v = row.Complete(v)
	}
	key := paramKey{number: number}
	if row.Sets > 0 {
		key.set = v[0]
	}
	return p.change(func(s *paramState) error {
		if s.progress {
			s.pending[key] = v
		} else {
			s.values[key] = v
		}
		return nil
	})
}

// check refuses what the row of a parameter does not take.
func (p *Parameters) check(number uint8, v []byte) error {
	row := p.rows[number]
	switch {
	case row == nil:
		return ipmb.ErrParamUnsupported
	case row.ReadOnly:
		return ipmb.ErrParamReadOnly
	case !row.Data.Holds(len(v)):
		return ipmb.ErrLength
	case row.Sets > 0 && int(v[0]) >= row.Sets:
		return ipmb.ErrParameterRange
	case row.Check != nil:
		return row.Check(v)
	}
	return nil
}

func (p *Parameters) progress(v []byte) error {
	if len(v) != 1 {
		return ipmb.ErrLength
	}
	return p.change(func(s *paramState) error { return s.step(v[0]) })
}

// step does what was written to Set in progress. A commit outside of a set has
// nothing to do.
func (s *paramState) step(to byte) error {
	switch {
	case to == setBegun && s.progress:
		return ipmb.ErrParamInProgress
	case to == setBegun:
		s.progress = true
	case to == setCommit:
		maps.Copy(s.values, s.pending)
		clear(s.pending)
	case to == setComplete:
		s.progress = false
		clear(s.pending)
	default:
		return ipmb.ErrInvalidField
	}
	return nil
}

// Reset is for a reset of the system or its loss of power: a set that is in
// progress ends without commit, and what told of the software that ran is gone.
func (p *Parameters) Reset() error {
	return p.change(func(s *paramState) error {
		s.progress = false
		clear(s.pending)
		maps.DeleteFunc(s.values, func(k paramKey, _ []byte) bool { return p.rows[k.number].Transient })
		return nil
	})
}

// change stores what f makes of the state and tells of the values that differ.
func (p *Parameters) change(f func(*paramState) error) error {
	changed, hooks, err := p.store(f)
	if err != nil {
		return err
	}
	for _, number := range changed {
		for _, h := range hooks {
			h.Changed(number)
		}
	}
	return nil
}

func (p *Parameters) store(f func(*paramState) error) (changed []uint8, hooks []ParameterHook, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state.clone()
	if err := f(&s); err != nil {
		return nil, nil, err
	}
	is := s.encode()
	if bytes.Equal(p.state.encode(), is) {
		return nil, nil, nil
	}
	changed = p.state.differs(s)
	done, err := p.prepare(changed, s)
	if err == nil {
		err = p.records.Put(p.name, is)
	}
	done(err == nil)
	if err != nil {
		return nil, nil, err
	}
	p.state = s
	return changed, p.hooks, nil
}

// prepare has those who act get ready for a state; done tells all who are.
func (p *Parameters) prepare(changed []uint8, s paramState) (done func(kept bool), err error) {
	var ready []func(bool)
	done = func(kept bool) {
		for _, f := range ready {
			f(kept)
		}
	}
	if len(changed) == 0 {
		return done, nil
	}
	get := func(number, set uint8) []byte { return p.find(number, set, s.values, p.presets) }
	for _, h := range p.hooks {
		a, ok := h.(ParameterActor)
		if !ok {
			continue
		}
		f, err := a.Prepare(changed, get)
		if err != nil {
			return done, err
		}
		if f != nil {
			ready = append(ready, f)
		}
	}
	return done, nil
}
