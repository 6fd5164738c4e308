package sdr

// Analog is how a reading byte is a number.
type Analog uint8

// Analog formats.
const (
	AnalogUnsigned Analog = iota
	AnalogOnesComplement
	AnalogTwosComplement
	AnalogNone
)

// Number is the number that a reading byte stands for.
func (a Analog) Number(reading uint8) int {
	switch {
	case a == AnalogTwosComplement:
		return int(int8(reading))
	case a == AnalogOnesComplement && reading&0x80 != 0:
		return -int(^reading)
	}
	return int(reading)
}

// bounds are the lowest and the highest number of a format.
func (a Analog) bounds() (low, high int) {
	switch a {
	case AnalogTwosComplement:
		return -128, 127
	case AnalogOnesComplement:
		return -127, 127
	}
	return 0, 255
}

// reading is the byte for a number within the bounds.
func (a Analog) reading(n int) uint8 {
	if a == AnalogOnesComplement && n < 0 {
		return ^uint8(-n)
	}
	return uint8(n)
}

// Unit is a sensor unit type code (IPMI 2.0 table 43-15).
type Unit uint8

// Units that controllers of a shelf use.
const (
	UnitUnspecified Unit = 0
	UnitCelsius     Unit = 1
	UnitVolt        Unit = 4
	UnitAmpere      Unit = 5
	UnitWatt        Unit = 6
	UnitRPM         Unit = 18
	UnitHertz       Unit = 19
)

// Units is the units of a sensor (record bytes 20–22):
//
//	[7:6] analog format [5:3] rate [2:1] use of the modifier [0] percent  base  modifier
type Units struct {
	Format   Analog
	Rate     uint8 // 0 none, 1 per µs … 6 per day
	Combine  uint8 // 0 none, 1 base / modifier, 2 base × modifier
	Percent  bool
	Base     Unit
	Modifier Unit
}

const (
	formatShift  = 6
	rateShift    = 3
	rateMask     = 0x07
	combineShift = 1
	combineMask  = 0x03
	percentBit   = 0x01
)

func (u Units) append(b []byte) []byte {
	u1 := byte(u.Format)<<formatShift | u.Rate&rateMask<<rateShift | u.Combine&combineMask<<combineShift
	if u.Percent {
		u1 |= percentBit
	}
	return append(b, u1, byte(u.Base), byte(u.Modifier))
}

func parseUnits(b []byte) Units {
	return Units{
		Format: Analog(b[0] >> formatShift), Rate: b[0] >> rateShift & rateMask, Combine: b[0] >> combineShift & combineMask,
		Percent: b[0]&percentBit != 0, Base: Unit(b[1]), Modifier: Unit(b[2]),
	}
}
