// Package node is one VM's controller: its local BMC, which is the IPM
// controller of its slot in the shelf.
//
// A [Controller] knows and answers; a [Node] gives it its doors (the guest's
// system interface, the uplink to the shelf) and a VM to act on.
//
// What a node must not forget lies in three places. The store has what the
// outside relies on, on disk before it is answered: settings, the log, events
// for the shelf. The ledger has what is under way between guest and bus, in
// mapped memory: it outlives the process, also by SIGKILL, and costs nothing.
// The VM's connection itself goes from one process to the next in a planned
// restart: see [TakeOver].
package node
