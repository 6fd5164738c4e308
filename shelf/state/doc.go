// Package state is the replicated state of the shelves: slot claims, the event
// log with the SEL as a view of it, outbox positions, settings, and the
// session table that makes requests take effect exactly once.
//
// [State] is pure: what a command does follows from the commands before it and
// from its own bytes. Time is the proposer's, carried in the command; nothing
// here reads a clock or walks a map in an order that could differ between
// replicas. [FSM] puts a State behind raft and gives readers their views.
//
// What is bounded, and what happens at the bound:
//
//	event log      Config.LogLimit entries of controllers and users, and a quarter of
//	               that for the guest of each slot: the oldest of the same share goes
//	SEL            Config.SELLimit records, an eighth for the guest of each slot: the
//	               oldest goes, and the overflow flag stands until the SEL is cleared
//	session table  65,536 answers, 4,096 for one instance: the oldest goes
//	outbox rows    16 for a slot: the row opened first goes
//	records        1,024 of 4 MiB together for a shelf: one more is refused
package state
