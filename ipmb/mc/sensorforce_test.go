package mc_test

import (
	"errors"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// States that are forced on a sensor come over what its source says, and what
// changes by that is an event.
func TestForce(t *testing.T) {
	force := func(set, clear uint16) func(*device) error {
		return func(d *device) error { return d.Force(button, set, clear) }
	}
	assert := func(o uint8) func(*device) error {
		return func(d *device) error { return d.Assert(button, o, mc.NoData, mc.NoData) }
	}
	newDevice(t, &mc.MemoryRecords{}).steps(0, []step{
		{feed: force(1<<8, 0), do: "2d 02", want: "00 00 c0 00 81", told: "0: 0414026f08ffff"}, // no source has said anything
		{feed: force(0, 0), do: "2d 02", want: "00 00 e0 00 81"},                               // and none does
		{feed: assert(1), do: "2d 02", want: "00 00 c0 02 80", told: "0: 0414026f01ffff"},
		{feed: force(1<<2, 1<<1), do: "2d 02", want: "00 00 c0 04 80", told: "0: 041402ef01ffff 0: 0414026f02ffff"},
		{feed: assert(0), do: "2d 02", want: "00 00 c0 05 80", told: "0: 0414026f00ffff"},
		{feed: assert(1), do: "2d 02", want: "00 00 c0 05 80"},
		{
			feed: func(d *device) error { return d.Begin(button, 0, 1) },
			do:   "2d 02", want: "00 00 c0 05 80",
		},
		{feed: force(0, 0), do: "2d 02", want: "00 00 c0 03 80", told: "0: 0414026f01ffff"},
		{feed: func(d *device) error { return d.SetUnavailable(button) }, do: "2d 02", want: "00 00 e0 03 80"},
		{feed: force(1, 0), do: "2d 02", want: "00 00 c0 03 80"},
		{feed: force(0, 0), do: "2d 02", want: "00 00 e0 03 80"},
		{do: "28 02 80", want: "00"}, // scanning is off: nothing is heard
		{feed: force(1<<8, 0), do: "2d 02", want: "00 00 a0 03 80"},
		{do: "28 02 c0", want: "00", told: "0: 0414026f08ffff"},
	})
}

func TestForcesThatCannotBe(t *testing.T) {
	d := newDevice(t, &mc.MemoryRecords{})
	for name, c := range map[string]struct{ got, want error }{
		"no such sensor":              {d.Force(mc.SensorKey{Number: 9}, 1, 0), ipmb.ErrNotPresent},
		"state of a threshold sensor": {d.Force(temp, 1, 0), ipmb.ErrIllegal},
		"state that it has not":       {d.Force(button, 1<<3, 0), ipmb.ErrIllegal},
		"not that either":             {d.Force(button, 0, 1<<3), ipmb.ErrIllegal},
		"both":                        {d.Force(button, 1, 1), ipmb.ErrIllegal},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	d.steps(0, []step{{do: "2d 02", want: "00 00 e0 00 80"}})
}
