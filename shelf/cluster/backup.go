package cluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/hashicorp/raft"
)

// A backup is a line that names it, a line of JSON, and the state machine's own
// snapshot:
//
//	midplane shelf backup 1\n
//	{"cluster_id":…,"index":…,"term":…,"size":…,"crc32c":…}\n
//	state[size]
const backupMagic = "midplane shelf backup 1\n"

// BackupInfo is a backup's header.
type BackupInfo struct {
	ClusterID string `json:"cluster_id"` // where it was taken
	Index     uint64 `json:"index"`      // everything up to this log entry is in it
	Term      uint64 `json:"term"`
	Size      int64  `json:"size"`   // bytes of state
	CRC       uint32 `json:"crc32c"` // of the state
}

// Backup writes the whole replicated state to w. Only the leader can: the
// backup holds everything that was committed when it began.
func (c *Cluster) Backup(ctx context.Context, w io.Writer) (BackupInfo, error) {
	if err := c.Barrier(ctx); err != nil {
		return BackupInfo{}, err
	}
	at := c.Stats()
	snap, err := c.fsm.Snapshot()
	if err != nil {
		return BackupInfo{}, fmt.Errorf("cluster: backup: %w", err)
	}
	defer snap.Release()
	var state memorySink
	if err := snap.Persist(&state); err != nil {
		return BackupInfo{}, fmt.Errorf("cluster: backup: %w", err)
	}
	info := BackupInfo{
		ClusterID: c.ClusterID(), Index: at.Applied, Term: at.Term,
		Size: int64(state.Len()), CRC: crc32.Checksum(state.Bytes(), castagnoli),
	}
	header, err := json.Marshal(info)
	if err != nil {
		return BackupInfo{}, fmt.Errorf("cluster: backup: %w", err)
	}
	for _, part := range [][]byte{[]byte(backupMagic), header, {'\n'}, state.Bytes()} {
		if _, err := w.Write(part); err != nil {
			return BackupInfo{}, fmt.Errorf("cluster: backup: %w", err)
		}
	}
	return info, nil
}

// Restore puts a backup in the place of the whole replicated state, on all
// replicas. Only the leader can. Members and cluster id stay as they are. The
// backup is read and checked to its end first.
func (c *Cluster) Restore(ctx context.Context, backup io.Reader) (BackupInfo, error) {
	info, state, err := readBackup(backup)
	if err != nil {
		return BackupInfo{}, err
	}
	meta := &raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Index: info.Index, Term: info.Term, Size: info.Size}
	_, err = call(ctx, c, func(r *raft.Raft) raft.Future {
		return done{r.Restore(meta, bytes.NewReader(state), timeLeft(ctx))}
	})
	if err != nil {
		return BackupInfo{}, c.writeError(err)
	}
	return info, nil
}

// done is a future that has its answer.
type done struct{ err error }

func (d done) Error() error { return d.err }

// readBackup reads and checks a whole backup.
func readBackup(r io.Reader) (BackupInfo, []byte, error) {
	br := bufio.NewReader(r)
	magic := make([]byte, len(backupMagic))
	if _, err := io.ReadFull(br, magic); err != nil || string(magic) != backupMagic {
		return BackupInfo{}, nil, errors.New("cluster: this is not a shelf backup, or of an unknown version")
	}
	line, err := br.ReadSlice('\n')
	if err != nil {
		return BackupInfo{}, nil, fmt.Errorf("cluster: backup header: %w", err)
	}
	var info BackupInfo
	if err := json.Unmarshal(line, &info); err != nil {
		return BackupInfo{}, nil, fmt.Errorf("cluster: backup header: %w", err)
	}
	state, err := io.ReadAll(br)
	if err != nil {
		return BackupInfo{}, nil, fmt.Errorf("cluster: read backup: %w", err)
	}
	if int64(len(state)) != info.Size || crc32.Checksum(state, castagnoli) != info.CRC {
		return BackupInfo{}, nil, errors.New("cluster: the backup is damaged or cut short")
	}
	return info, state, nil
}

// memorySink takes a snapshot into memory.
type memorySink struct{ bytes.Buffer }

func (*memorySink) ID() string    { return "backup" }
func (*memorySink) Cancel() error { return nil }
func (*memorySink) Close() error  { return nil }
