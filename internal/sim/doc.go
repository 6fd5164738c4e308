// Package sim runs whole shelves in virtual time (testing/synctest) and
// disturbs them: real replicas and real nodes in one process, with fake guests
// that work on them, while a seed decides which of them are partitioned,
// delayed, stopped, killed, wiped or claimed twice.
//
// A [World] is the shelf. [Chaos] disturbs it, a [Guest] works in it, and what
// must hold is checked on the way by [Witness], and at the end by [World.Settle]
// and [Ledger.Check]. A seed fixes what is done and when; how goroutines
// take turns, and raft's own dice, it does not.
package sim
