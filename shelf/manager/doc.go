// Package manager is the active shelf manager: the controller that answers at
// 0x20, and the reconciler that brings the slots to what the shelf wants.
//
// A [Manager] answers only in a tenure, which is what [Manager.Lead] is called
// for: from the barrier of a raft term until the term is lost. Whatever changes
// state is a command through raft under the request's own name, so that a
// repeat, also at the next leader, gets the first answer. Whatever only reads
// is answered after raft has confirmed that this replica still leads. When
// either fails there is no answer at all: the node asks again, and finds the
// new leader.
//
// What the parts of 0x20 keep is records of the replicated state: the SDR
// repository, FRU information, an order to the whole shelf that is under way.
// A new leader finds them as they were, and goes on.
package manager
