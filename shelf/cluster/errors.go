package cluster

import (
	"errors"
	"fmt"
)

var (
	// ErrNotReady says that this replica is not part of a cluster yet: it is
	// still asking its seeds. Wait for [Cluster.Ready].
	ErrNotReady = errors.New("cluster: this replica has not joined a cluster yet")
	// ErrStopped says that this replica has been shut down or has failed.
	ErrStopped = errors.New("cluster: this replica has stopped")
	// ErrHalted is in the chain of every result after [Cluster.Halt].
	ErrHalted = errors.New("cluster: the state machine halted this replica")
)

// ErrNotLeader says that the call must go to the leader. Nothing was done.
type ErrNotLeader struct {
	Leader Leader // zero while no leader is known
}

func (e *ErrNotLeader) Error() string {
	if e.Leader.ID == "" {
		return "cluster: no leader is known"
	}
	return fmt.Sprintf("cluster: the leader is %s at %s", e.Leader.ID, e.Leader.Address)
}

// ErrAmbiguous says that a command was submitted and its outcome is unknown:
// it may have been committed, now or later. Only a repeat that the state
// machine recognises as such is safe.
type ErrAmbiguous struct {
	Cause error
}

func (e *ErrAmbiguous) Error() string {
	return fmt.Sprintf("cluster: outcome unknown, the command may have been committed: %v", e.Cause)
}

func (e *ErrAmbiguous) Unwrap() error { return e.Cause }

// ErrWrongCluster says that two replicas belong to different clusters.
type ErrWrongCluster struct {
	Ours, Theirs string // cluster ids
	Peer         string // who they are: a node id or an address
}

func (e *ErrWrongCluster) Error() string {
	return fmt.Sprintf("cluster: %s belongs to cluster %s, this replica to %s: "+
		"check the seeds, or wipe the replica that is in the wrong place", e.Peer, e.Theirs, e.Ours)
}

// ErrNameTaken says that another living replica has the node id or address.
type ErrNameTaken struct {
	NodeID, Address string
	Holder          string // who has it
}

func (e *ErrNameTaken) Error() string {
	return fmt.Sprintf("cluster: %s at %s cannot join: the name or address belongs to %s; "+
		"give the replica another name, or remove the old member first", e.NodeID, e.Address, e.Holder)
}

// CorruptRecordError says that a stored record is not what was written.
type CorruptRecordError struct {
	File   string
	Bucket string // "log", "stable" or "meta"
	Key    string // for the log: its index in decimal
	Reason string
}

func (e *CorruptRecordError) Error() string {
	return fmt.Sprintf("cluster: %s: damaged record %s/%s (%s): "+
		"stop this replica, wipe its data directory and let it rejoin; the others keep the shelf's state",
		e.File, e.Bucket, e.Key, e.Reason)
}

// StorageError says that the disk refused a read or a write. The replica stops:
// after a failed write or sync nobody can say what is on the disk.
type StorageError struct {
	Op   string // what was being stored
	File string
	Err  error
}

func (e *StorageError) Error() string {
	return fmt.Sprintf("cluster: %s: %s: %v: make room or replace the disk, then start the replica again",
		e.File, e.Op, e.Err)
}

func (e *StorageError) Unwrap() error { return e.Err }

// LogGapError says that the log does not continue any readable snapshot.
type LogGapError struct {
	Dir           string
	SnapshotIndex uint64 // the newest readable snapshot ends here; 0: none
	FirstIndex    uint64 // the log starts here
}

func (e *LogGapError) Error() string {
	return fmt.Sprintf("cluster: %s: the log starts at %d but the newest readable snapshot ends at %d: "+
		"wipe this data directory and let the replica rejoin", e.Dir, e.FirstIndex, e.SnapshotIndex)
}
