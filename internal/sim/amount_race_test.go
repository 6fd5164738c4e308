//go:build race

package sim_test

// How many seeds run by default under the race detector, which makes them some
// four times slower.
const (
	defaultSeeds = 20
	linearSeeds  = 10
)
