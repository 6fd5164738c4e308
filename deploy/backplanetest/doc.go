// Package backplanetest runs whole backplanes in one process, without raft and
// without sockets: switches of several replicas, nodes at their uplinks, and a
// small shelf manager that answers, claims and logs as the real one does.
// Everything may run inside testing/synctest, and the network between the parts
// can be cut and disturbed.
package backplanetest
