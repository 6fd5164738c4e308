// Package front carries a shelf's LAN datagrams to the replica that leads.
//
// On one host a [Front], a small process of its own, has the UDP socket and a
// stream to each replica's Unix socket; there a replica has an [Entry]. On
// several hosts each replica has a [Socket] and there is no front. Both give the
// leader what comes while it leads, as a [net.PacketConn].
//
// With each step of a login that it answers, a leader gives the front what another
// one needs to go on with that. The front keeps it, and puts it before what the same
// socket says to the next leader.
//
// A stream carries frames, big-endian:
//
//	length 2 of what follows | kind 1 | …
//	datagram: address 16, port 2, port of the controller 2, bytes   both ways
//	step:     length 2 of the login, login, then as datagram        both ways
//	leading:  term 8, 0 for no longer                               to the front
package front
