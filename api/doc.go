// Package api serves people and programs over gRPC: [NodeServer] at a node,
// [ShelfServer] and [ClusterServer] at every replica. Who may call what stands
// in [NodePolicy] and [ReplicaPolicy].
package api
