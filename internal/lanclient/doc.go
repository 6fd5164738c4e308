// Package lanclient is the console's side of RMCP+ (IPMI 2.0 §13), for tests
// and benchmarks: it logs in, asks, bridges and logs out, at our doors and at
// anybody's. It shares no code with package rmcp, so that a mistake of one is
// not made up for by the same mistake of the other.
//
// wire.go frames datagrams, cipher.go signs and encrypts them. Login and
// Session are pure: bytes in, bytes out. A Client has one session over a
// socket of its own, a Crowd many over one, with no goroutine of theirs.
package lanclient
