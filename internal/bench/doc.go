// Command bench measures Midplane side by side with ipmi_sim (Debian's
// openipmi) and with a raw echo over the same kind of socket, which is what no
// controller can be faster than.
//
// In one run, every side of a measurement takes its turn in rounds, so that
// whatever else the machine does meets all of them alike. "Pinned" puts both
// processes of a pair on one core before they start; "unpinned" leaves them to
// the scheduler. All load is bounded in time and count, and stays on loopback
// and Unix sockets. Guests are fake, a small client of QEMU's VM protocol,
// where it is not said that they are real.
//
//	go run ./internal/bench -bin build/midplane -o build/bench.json
package main
