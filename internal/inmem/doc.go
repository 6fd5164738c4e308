// Package inmem carries backplane streams between parts of one process: for a
// whole shelf in one program, and for tests, which may cut, freeze and disturb
// what is between two parts. It needs no sockets and no real time, and so runs
// inside testing/synctest. Messages are handed over, not copied: neither side
// may change one after it was sent or received.
package inmem
