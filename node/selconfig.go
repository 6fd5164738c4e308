package node

import (
	"cmp"
	"errors"
	"fmt"
)

// SELConfig is how much the node's log holds, and what a full one does.
type SELConfig struct {
	// Capacity is in records; 0 for DefaultSELCapacity.
	Capacity int `json:"capacity,omitempty"`
	// Overflow is oldest (the default) or refuse.
	Overflow string `json:"overflow,omitempty"`
}

// What a full log does with one more record; both set the overflow flag.
//
// IPMI leaves the choice. A log that refuses keeps how a fault began, and a
// guest can silence it by filling it; the newest events are those that an
// operator asks for, so the oldest goes unless the configuration says otherwise.
const (
	SELOldest = "oldest" // it takes the place of the oldest
	SELRefuse = "refuse" // it is answered with C4h (IPMI 2.0 §31.6)
)

// Bounds of a log's capacity. In a smaller log the events that it is almost
// full and full would be one; in a larger one record ids would run out.
const (
	DefaultSELCapacity = 4096
	MinSELCapacity     = 64
	MaxSELCapacity     = 32768
)

// Check finds what cannot be.
func (c SELConfig) Check() error {
	var all []error
	if c.Capacity != 0 && (c.Capacity < MinSELCapacity || c.Capacity > MaxSELCapacity) {
		all = append(all, fmt.Errorf("capacity: %d is not within %d to %d records", c.Capacity, MinSELCapacity, MaxSELCapacity))
	}
	if c.Overflow != "" && c.Overflow != SELOldest && c.Overflow != SELRefuse {
		all = append(all, fmt.Errorf("overflow: %q is neither oldest nor refuse", c.Overflow))
	}
	return errors.Join(all...)
}

func (c SELConfig) capacity() int { return cmp.Or(c.Capacity, DefaultSELCapacity) }
