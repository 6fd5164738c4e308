package manager

import (
	"bytes"
	"context"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// replicated lets a part of the controller keep its records in raft. What it
// puts is committed for the request in whose name it does so.
type replicated struct {
	m *Manager
	// by is the request that is being served, and response what it will be
	// answered when its records are committed. Whoever sets it has the part for
	// itself until it is nil again.
	by       *ipmb.Request
	ctx      context.Context
	response []byte
}

var _ mc.Records = (*replicated)(nil)

// Get implements mc.Records.
func (r *replicated) Get(name string) ([]byte, error) {
	return bytes.Clone(r.m.cfg.State.Record(r.m.cfg.Shelf, name)), nil
}

// Put implements mc.Records.
func (r *replicated) Put(name string, value []byte) error {
	return r.PutAll(map[string][]byte{name: append([]byte{}, value...)})
}

// PutAll implements mc.Records.
func (r *replicated) PutAll(values map[string][]byte) error {
	if r.by == nil {
		return ipmb.ErrNoResponse
	}
	c := &v1.PutRecords{Shelf: r.m.cfg.Shelf, Response: r.response}
	for name, value := range values {
		if value == nil {
			c.Delete = append(c.Delete, name)
		} else {
			c.Put = append(c.Put, &v1.NamedRecord{Name: name, Value: value})
		}
	}
	_, err := r.m.commit(r.ctx, r.by, &v1.Command{Kind: &v1.Command_PutRecords{PutRecords: c}})
	return err
}

// Delete implements mc.Records.
func (r *replicated) Delete(name string) error { return r.PutAll(map[string][]byte{name: nil}) }

// Each implements mc.Records.
func (r *replicated) Each(prefix string, f func(name string, value []byte) bool) error {
	for _, one := range r.m.cfg.State.Records(r.m.cfg.Shelf, prefix) {
		if !f(one.Name, bytes.Clone(one.Value)) {
			return nil
		}
	}
	return nil
}
