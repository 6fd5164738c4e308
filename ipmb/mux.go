package ipmb

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
)

// Access narrows the doors that a command may come by.
type Access uint8

// Access rules.
const (
	Anywhere   Access = iota // any door whose privilege suffices
	SystemOnly               // "S" in the privilege tables: the own guest and the daemon itself
	NotGuest                 // any door, but never on behalf of guest software
)

// Span is the permitted length of a command's data in bytes, after the
// defining body. The zero Span permits no data. Max < 0 is unlimited.
type Span struct{ Min, Max int }

// Exactly permits n bytes.
func Exactly(n int) Span { return Span{n, n} }

// AtLeast permits n bytes or more.
func AtLeast(n int) Span { return Span{n, -1} }

// Between permits lo to hi bytes.
func Between(lo, hi int) Span { return Span{lo, hi} }

// Holds reports whether n bytes are permitted.
func (s Span) Holds(n int) bool { return n >= s.Min && (s.Max < 0 || n <= s.Max) }

// Command is one row of a controller's command table.
type Command struct {
	Name      string // the specification's name, such as "Get Device ID"
	NetFn     NetFn
	Body      Body // of NetFnGroup and NetFnOEM
	Cmd       Cmd
	Privilege Privilege
	Access    Access
	AnyLUN    bool // served on every LUN, not only on 0
	Data      Span
	Effect    bool   // changes something: a repeat must get the first answer, not be done again
	Ref       string // where its layout comes from, such as "IPMI 2.0 §20.1"
	Do        func(ctx context.Context, req *Request) ([]byte, error)
}

// CommandID is what a mux routes by. Body is 0 for network functions without bodies.
type CommandID struct {
	NetFn NetFn
	Body  Body
	Cmd   Cmd
}

// Mux routes requests to commands and holds the one privilege check.
// Register everything before the first request; serving takes no lock.
type Mux struct {
	// Guard, if set, may refuse what a row would serve: its error is the answer.
	// It sees the request without the defining body. It is to be set before the
	// first request.
	Guard func(req *Request, row *Command) error

	rows  map[CommandID]*Command
	order []*Command // by (NetFn, body, Cmd)
}

// NewMux gives a mux that serves the rows. It panics on a row that stands
// twice or has no function: both are mistakes in the wiring, not in input.
func NewMux(tables ...[]Command) *Mux {
	m := &Mux{rows: make(map[CommandID]*Command)}
	for _, t := range tables {
		m.add(t)
	}
	slices.SortFunc(m.order, func(a, b *Command) int {
		return cmp.Or(cmp.Compare(a.NetFn, b.NetFn), cmp.Compare(a.Body, b.Body), cmp.Compare(a.Cmd, b.Cmd))
	})
	return m
}

func (m *Mux) add(rows []Command) {
	for i := range rows {
		c := rows[i]
		k := CommandID{c.NetFn, c.Body, c.Cmd}
		if _, ok := m.rows[k]; ok || c.Do == nil {
			panic(fmt.Sprintf("ipmb: command %q (%02x/%02x) registered twice or without function", c.Name, c.NetFn, c.Cmd))
		}
		m.rows[k] = &c
		m.order = append(m.order, &c)
	}
}

// Lookup finds the row that would serve a request with this data, nil if none.
func (m *Mux) Lookup(n NetFn, cmd Cmd, data []byte) *Command {
	body, _, _ := SplitBody(n, data)
	return m.rows[CommandID{n, body, cmd}]
}

// Row gives the row of a command, nil if there is none.
func (m *Mux) Row(id CommandID) *Command { return m.rows[id] }

// Has reports whether the mux serves a command.
func (m *Mux) Has(n NetFn, body Body, cmd Cmd) bool {
	return m.rows[CommandID{n, body, cmd}] != nil
}

// All goes through the rows in order of (NetFn, body, Cmd).
func (m *Mux) All() iter.Seq[*Command] { return slices.Values(m.order) }

// Commands lists the rows in order of (NetFn, body, Cmd).
func (m *Mux) Commands() []Command {
	out := make([]Command, 0, len(m.order))
	for _, c := range m.order {
		out = append(out, *c)
	}
	return out
}

// ServeIPMI answers req: C1h for a command that is not there, C2h for a wrong
// LUN, D4h for a speaker who may not, C7h for a wrong length, else the row's answer.
func (m *Mux) ServeIPMI(ctx context.Context, req *Request) Response {
	body, data, ok := SplitBody(req.NetFn, req.Data)
	if !ok {
		return Response{Code: ErrLength}
	}
	c := m.rows[CommandID{req.NetFn, body, req.Cmd}]
	if c == nil {
		return Response{Code: ErrInvalidCommand}
	}
	out, err := m.serve(ctx, c, req, data)
	if l := bodyLen(req.NetFn); l > 0 {
		out = append(AppendBody(make([]byte, 0, l+len(out)), req.NetFn, body), out...)
	}
	return Response{Code: CodeOf(err), Data: out}
}

func (m *Mux) serve(ctx context.Context, c *Command, req *Request, data []byte) ([]byte, error) {
	if err := c.permits(req, len(data)); err != nil {
		return nil, err
	}
	if len(data) != len(req.Data) {
		within := *req
		within.Data = data
		req = &within
	}
	if m.Guard != nil {
		if err := m.Guard(req, c); err != nil {
			return nil, err
		}
	}
	out, err := c.Do(ctx, req)
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (c *Command) permits(req *Request, n int) error {
	o := req.Origin
	switch {
	case req.LUN != LUNBMC && !c.AnyLUN:
		return ErrInvalidForLUN
	case o.Privilege < c.Privilege:
		return ErrPrivilege
	case c.Access == SystemOnly && o.Door != DoorSystem && o.Door != DoorInternal:
		return ErrPrivilege
	case c.Access == NotGuest && o.Speaker == SpeakerGuest:
		return ErrPrivilege
	case !c.Data.Holds(n):
		return ErrLength
	}
	return nil
}
