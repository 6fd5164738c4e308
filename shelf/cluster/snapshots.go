package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// Snapshot writes the state to disk now and shortens the log. With nothing new
// it does nothing.
func (c *Cluster) Snapshot(ctx context.Context) error {
	metas, err := c.snaps.List()
	if err != nil {
		return fmt.Errorf("cluster: list snapshots: %w", err)
	}
	if len(metas) > 0 && metas[0].Index >= c.Stats().Applied {
		return nil
	}
	_, err = call(ctx, c, func(r *raft.Raft) raft.SnapshotFuture { return r.Snapshot() })
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil
	}
	return c.readError("snapshot", err)
}

// alignLog makes sure that the log continues the newest readable snapshot,
// before raft relies on it.
//
// A crash after a snapshot was received and before the log was emptied leaves
// entries that the snapshot covers: they go. A damaged newest snapshot may
// leave an older one that the log no longer reaches: that is an error.
func alignLog(dir string, s *store, snaps raft.SnapshotStore) error {
	base, err := newestReadable(dir, snaps)
	if err != nil {
		return err
	}
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	switch {
	case last == 0:
		return nil
	case last < base:
		return s.DeleteRange(first, last)
	case first > base+1:
		return &LogGapError{Dir: dir, SnapshotIndex: base, FirstIndex: first}
	}
	return nil
}

// newestReadable is the index of the newest snapshot whose checksum is right; 0
// without snapshots.
func newestReadable(dir string, snaps raft.SnapshotStore) (uint64, error) {
	metas, err := snaps.List()
	if err != nil {
		return 0, fmt.Errorf("cluster: %s: list snapshots: %w", dir, err)
	}
	for _, m := range metas {
		_, r, openErr := snaps.Open(m.ID)
		if openErr == nil {
			return m.Index, r.Close()
		}
		err = errors.Join(err, fmt.Errorf("snapshot %s: %w", m.ID, openErr))
	}
	if err != nil {
		return 0, fmt.Errorf("cluster: %s: no snapshot is readable, wipe this data directory and let the replica rejoin: %w", dir, err)
	}
	return 0, nil
}
