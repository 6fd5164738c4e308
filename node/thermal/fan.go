package thermal

import (
	"math"
	"time"
)

// The model's fan: it turns 10,000 times a minute at full level, and two thirds
// of a change of its level show in its speed after fanInertia.
const (
	fanFull    = 10000.0 // rpm
	fanInertia = 3 * time.Second
)

// spin is a fan's speed dt later, at a level from 0 to 1.
func spin(rpm float64, dt time.Duration, level float64) float64 {
	settled := fanFull * clamp(level)
	return settled + (rpm-settled)*math.Exp(-dt.Seconds()/fanInertia.Seconds())
}
