package mc

import (
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// forced are states that a discrete sensor is made to have, and not to have,
// whatever its source says.
type forced struct{ set, clear uint16 }

func (f forced) some() bool { return f.set|f.clear != 0 }

// over gives the states that the sensor hears when its source says states.
func (f forced) over(states uint16) uint16 { return states&^f.clear | f.set }

// Force makes a discrete sensor have the states of one mask and not have those
// of another, over what its source says, until it is told other masks: none
// leave it to its source again. What changes by that is an event as any other.
func (s *Sensors) Force(k SensorKey, set, clear uint16) error {
	return s.feed(k, func(n *sensor, next *sensorState) ([]sel.Event, error) {
		if n.threshold() || (set|clear)&^n.sdr.Readable != 0 || set&clear != 0 {
			return nil, ipmb.ErrIllegal
		}
		n.force = forced{set, clear}
		if !n.source.fed && !n.force.some() {
			next.known = false
			return nil, nil
		}
		return next.listen(n, plainData), nil
	})
}
