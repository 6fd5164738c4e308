package node

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
)

// named finds a sensor by the name in its record, or by 0x and its number: on
// the first LUN that has one, so that a dump does not hide the node's own.
func (s *sensors) named(name string) (mc.SensorKey, *sdr.Sensor, error) {
	number, err := strconv.ParseUint(name, 0, 8)
	byNumber := err == nil && strings.HasPrefix(strings.ToLower(name), "0x")
	var key mc.SensorKey
	var found *sdr.Sensor
	for _, body := range s.sdrs {
		r, called, count := sensorOf(body)
		if r == nil || byNumber && (number < uint64(r.Number) || number >= uint64(r.Number)+count) || !byNumber && called != name {
			continue
		}
		k := mc.SensorKey{LUN: r.LUN, Number: r.Number}
		if byNumber {
			k.Number = uint8(number)
		}
		switch {
		case found == nil || k.LUN < key.LUN:
			key, found = k, r
		case k.LUN == key.LUN:
			return key, nil, fmt.Errorf("%w: %q is what 0x%02x and 0x%02x are called", ErrNoSensor, name, key.Number, k.Number)
		}
	}
	if found == nil {
		return key, nil, fmt.Errorf("%w: %q; ipmitool sdr elist lists them", ErrNoSensor, name)
	}
	return key, found, nil
}

// sensorOf gives what a record says of a sensor that can be read, its name, and
// how many sensors it stands for; nil for other records.
func sensorOf(body sdr.Body) (r *sdr.Sensor, name string, count uint64) {
	switch b := body.(type) {
	case *sdr.Full:
		return &b.Sensor, b.Name, 1
	case *sdr.Compact:
		return &b.Sensor, b.Name, uint64(max(b.Sharing.Count, 1))
	}
	return nil, "", 0
}
