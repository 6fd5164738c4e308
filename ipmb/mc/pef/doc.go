// Package pef is Platform Event Filtering: the controller compares each event
// that it takes with a table of filters, and acts on the VM or sends alerts by
// those that match (IPMI 2.0 §17 and §30).
//
//	event ─► filters ─► plan ─┬─► power off | power cycle | reset | NMI
//	                          └─► policy sets ─► destinations ─► PET traps
//
// What is decided is pure: [Filter.Match] for one filter, decide for the table,
// walk for a policy set. [PEF] keeps the configuration, the events that wait
// while filtering is postponed, and what has been done, so that a process that
// ends in between leaves nothing out.
//
// An alert leaves the machine only for an address that the operator listed:
// where a guest or a session wants traps sent is a wish.
package pef
