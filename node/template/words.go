package template

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// Words for numbers of the specification.
var (
	entityWords = map[string]sdr.EntityID{
		"processor": sdr.EntityProcessor, "power_supply": sdr.EntityPowerSupply, "chassis": sdr.EntityChassis,
		"fan": sdr.EntityFan, "cooling": sdr.EntityCooling, "air_inlet": sdr.EntityAirInlet,
	}
	typeWords = map[string]sel.SensorType{
		"temperature": sel.SensorTemperature, "voltage": sel.SensorVoltage, "current": sel.SensorCurrent,
		"fan": sel.SensorFan, "power_supply": sel.SensorPowerSupply, "other": otherUnits,
	}
	unitWords = map[string]sdr.Unit{
		"celsius": sdr.UnitCelsius, "volt": sdr.UnitVolt, "ampere": sdr.UnitAmpere, "watt": sdr.UnitWatt,
		"rpm": sdr.UnitRPM, "hertz": sdr.UnitHertz,
	}
)

// otherUnits is the sensor type of what only the unit says (IPMI 2.0 table 42-3).
const otherUnits sel.SensorType = 0x0B

// board stands for the node's own entity.
const board = "board"

// word reads a word, or a number that fits in a byte.
func word[T ~uint8](r *reader, at, s string, words map[string]T) T {
	if v, ok := words[s]; ok {
		return v
	}
	if n, err := strconv.ParseUint(s, 0, 8); err == nil {
		return T(n)
	}
	known := list(slices.Sorted(maps.Keys(words)))
	if s == "" {
		r.add(at, "is missing: %s, or a number", known)
	} else {
		r.add(at, "%q is not one of %s, nor a number up to 255", s, known)
	}
	return 0
}

// maxInstance is the last instance: as many are relative to a controller.
const maxInstance = 32

// entity reads a word or a number, and the instance behind a dot. The zero
// Entity is the node's own.
func (r *reader) entity(at, s string) sdr.Entity {
	name, instance, numbered := strings.Cut(s, ".")
	e := sdr.Entity{Instance: 1}
	if numbered {
		n, err := strconv.ParseUint(instance, 10, 8)
		if err != nil || n < 1 || n > maxInstance {
			r.add(at, "%q: the instance is not within 1 to %d", s, maxInstance)
		}
		e.Instance = uint8(n)
	}
	if name == "" || name == board {
		if numbered {
			r.add(at, "%q: there is one board", s)
		}
		return sdr.Entity{}
	}
	e.ID = word(r, at, name, entityWords)
	return e
}
