// Package cluster keeps the shelf manager's replicas in agreement: raft on an
// own bbolt log, membership, leadership, backup and recovery.
//
// It does not know what it replicates. The caller gives a [raft.FSM]
// (preferably a [raft.BatchingFSM]) and sends it commands with
// [Cluster.Apply]; what the commands mean is the caller's affair.
//
// The life of a replica:
//
//	Open ──► state on disk? ──yes──────────────► raft runs (Ready)
//	             │ no                                ▲
//	             ▼                                   │
//	         ask every seed ── one has a cluster ──► Join: non-voter, then voter
//	             │
//	             └─ all answered "none", and our id is the lowest ──► form
//
// A replica whose disk fails, whose records are damaged, or whose FSM calls
// [Cluster.Halt] stops: it reports one error on [Cluster.Failed] and neither
// votes, commits nor applies any more. The daemon prints the error and exits.
package cluster
