package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sel"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// selLog is a SEL that is read from where reading stopped before.
type selLog interface {
	more(context.Context) ([]selView, error)
	close()
}

func openSEL(l *lab.Lab, t lab.Target) selLog {
	if t.Shelf {
		return &shelfSEL{lab: l}
	}
	return &controllerSEL{lab: l, target: t}
}

// shelfSEL reads the shelf's SEL out of its event log: one stream instead of a
// round trip for each of thousands of records.
type shelfSEL struct {
	lab  *lab.Lab
	open replicas
	last uint64 // id of the newest event seen
}

func (s *shelfSEL) close() { s.open.close() }

func (s *shelfSEL) more(ctx context.Context) (out []selView, err error) {
	if s.open == nil {
		if s.open, err = dialReplicas(s.lab); err != nil {
			return nil, err
		}
	}
	events, err := s.open.eventsAfter(ctx, &v1.ListEventsRequest{Shelf: s.lab.Name, After: s.last})
	out = []selView{}
	for _, e := range events {
		s.last = e.ID
		if e.SEL != 0 {
			out = append(out, selOf(e.record))
		}
	}
	return out, err
}

// controllerSEL reads a controller's SEL with the SEL commands.
type controllerSEL struct {
	lab    *lab.Lab
	target lab.Target
	way    *way
	last   uint16 // id of the newest record seen; 0: none
}

// open finds the way to the log, a node's by its own API: it has its log
// whether or not a shelf runs.
func (r *controllerSEL) open(ctx context.Context) (err error) {
	if r.way != nil {
		return nil
	}
	via := viaShelf
	if r.target.Node != nil {
		via = viaNode
	}
	r.way, err = openWay(ctx, r.lab, r.target, via)
	return err
}

func (r *controllerSEL) close() {
	if r.way != nil {
		r.way.close()
		r.way = nil
	}
}

// more reads the records after those that were read before.
func (r *controllerSEL) more(ctx context.Context) ([]selView, error) {
	out, err := r.read(ctx)
	if err != nil {
		r.close() // the next try may find another leader
	}
	return out, err
}

func (r *controllerSEL) read(ctx context.Context) ([]selView, error) {
	out := []selView{}
	if err := r.open(ctx); err != nil {
		return out, err
	}
	next := sel.FirstID
	if r.last != 0 {
		_, after, err := r.entry(ctx, r.last)
		switch {
		case errors.Is(err, ipmb.ErrNotPresent): // deleted or cleared meanwhile: what is there is new
		case err != nil || after == sel.LastID:
			return out, err
		default:
			next = after
		}
	}
	for {
		record, after, err := r.entry(ctx, next)
		if errors.Is(err, ipmb.ErrNotPresent) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, selOf(record))
		r.last = record.ID
		if after == sel.LastID {
			return out, nil
		}
		next = after
	}
}

const cmdGetSELEntry = 0x43

// entry is Get SEL Entry (IPMI 2.0 §31.5): the record with an id and the id of
// the next one.
func (r *controllerSEL) entry(ctx context.Context, id uint16) (rec sel.Record, next uint16, err error) {
	data := binary.LittleEndian.AppendUint16([]byte{0, 0}, id)
	answer, err := r.way.ask(ctx, &v1.RawRequest{
		NetFn: uint32(ipmb.NetFnStorage), Command: cmdGetSELEntry, Data: append(data, 0, 0xFF),
	})
	if err != nil {
		return rec, 0, err
	}
	if code := ipmb.CompletionCode(answer.CompletionCode); code != ipmb.OK {
		return rec, 0, fmt.Errorf("%s: Get SEL Entry: %w", r.target, code)
	}
	const nextLen = 2
	if len(answer.Data) != nextLen+sel.RecordLen {
		return rec, 0, fmt.Errorf("%s: Get SEL Entry: %d bytes, want %d", r.target, len(answer.Data), nextLen+sel.RecordLen)
	}
	rec, err = sel.Parse(answer.Data[nextLen:])
	return rec, binary.LittleEndian.Uint16(answer.Data), err
}
