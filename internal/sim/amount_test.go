//go:build !race

package sim_test

// How many seeds run by default: as many as take well under a minute on two cores.
const (
	defaultSeeds = 100
	linearSeeds  = 30
)
