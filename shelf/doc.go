// Package shelf is one replica of the shelf manager: it wires the cluster, the
// replicated state, the backplane and the active manager at 0x20 together, and
// gives them their life cycle.
package shelf
