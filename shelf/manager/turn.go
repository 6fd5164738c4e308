package manager

import "context"

// turn lets one at a time read the replicated records and commit what follows
// from them. Others wait as long as raft needs, and no longer than their context.
type turn chan struct{} // one slot

func newTurn() turn { return make(turn, 1) }

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) release() { <-t }
