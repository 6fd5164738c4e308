// Package trust says who is who in a shelf cluster: one certificate authority
// per cluster, identities and roles in certificates, revocation, and the TLS
// configurations that enforce them.
//
// An identity is one URI in the certificate's subject alternative names:
//
//	midplane://CLUSTER/replica/NAME        a shelf manager replica
//	midplane://CLUSTER/node/SHELF/SLOT     the controller in a slot
//	midplane://CLUSTER/admin/NAME          people and programs, by what they may do
//	midplane://CLUSTER/operator/NAME
//	midplane://CLUSTER/viewer/NAME
//
// Peers are known by that URI, never by DNS name or address: a daemon may move
// between hosts and keep its certificate. TLS 1.3 is the only version.
package trust
