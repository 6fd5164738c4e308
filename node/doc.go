// Package node is one VM's controller: its local BMC, which is the IPM
// controller of its slot in the shelf.
//
// A [Controller] knows and answers; a [Node] gives it its doors (the guest's
// system interface, the uplink to the shelf) and a VM to act on.
package node
