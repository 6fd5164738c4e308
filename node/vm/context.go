package vm

import (
	"context"
	"sync"
)

// requestContext is the context of one request. Unlike context.WithCancel it
// costs nothing until somebody waits for its end: the same one serves all
// requests of a link that never do. It has no deadline, since the VM's time
// may stand still.
type requestContext struct {
	context.Context

	mu   sync.Mutex
	done chan struct{}
	err  error
}

// Done is closed when nobody waits for the answer any more.
func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
	}
	return c.done
}

// Err says why.
func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// end ends the context; only the first end counts.
func (c *requestContext) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
}

// release ends the context, unless nobody can tell: then it reports that it
// may serve another request.
func (c *requestContext) release() (unused bool) {
	c.mu.Lock()
	unused = c.done == nil && c.err == nil
	c.mu.Unlock()
	if !unused {
		c.end(context.Canceled)
	}
	return unused
}
