package sdr

import "math"

// Factors turn a reading into a value (record bytes 23–29):
//
//	linearisation  M[7:0]  [7:6] M[9:8] [5:0] tolerance  B[7:0]  [7:6] B[9:8] [5:0] accuracy[5:0]
//	[7:4] accuracy[9:6] [3:2] accuracy's exponent [1:0] direction  [7:4] Rexp [3:0] Bexp
//
//	value = L((M·reading + B·10^Bexp) · 10^Rexp)
type Factors struct {
	Linear    Linear
	M         int16 // 10 bits
	Tolerance uint8 // 6 bits, in half raw counts
	B         int16 // 10 bits
	Accuracy  uint16
	AccExp    uint8
	Direction uint8 // 0 unspecified, 1 input, 2 output
	RExp      int8  // 4 bits
	BExp      int8  // 4 bits
}

// Linear is a sensor's linearisation function.
type Linear uint8

// Linearisations. From NonLinear on, the factors hold for one reading only.
const (
	Straight Linear = iota
	Ln
	Log10
	Log2
	Exp
	Exp10
	Exp2
	Inverse
	Square
	Cube
	Sqrt
	CubeRoot
	NonLinear Linear = 0x70
)

var linearFuncs = map[Linear]func(float64) float64{
	Ln: math.Log, Log10: math.Log10, Log2: math.Log2, Exp: math.Exp, Exp2: math.Exp2,
	Exp10:   func(x float64) float64 { return math.Pow(10, x) },
	Inverse: func(x float64) float64 { return 1 / x },
	Square:  func(x float64) float64 { return x * x },
	Cube:    func(x float64) float64 { return x * x * x },
	Sqrt:    math.Sqrt, CubeRoot: math.Cbrt,
}

// Value turns a reading in the given format into a value.
func (f Factors) Value(reading uint8, format Analog) float64 {
	x := float64(format.Number(reading))
	y := (float64(f.M)*x + float64(f.B)*math.Pow10(int(f.BExp))) * math.Pow10(int(f.RExp))
	if l := linearFuncs[f.Linear]; l != nil {
		return l(y)
	}
	return y
}

// inverseFuncs undo linearFuncs.
var inverseFuncs = map[Linear]func(float64) float64{
	Ln: math.Exp, Log2: math.Exp2, Exp: math.Log, Exp10: math.Log10, Exp2: math.Log2,
	Log10:   func(y float64) float64 { return math.Pow(10, y) },
	Inverse: func(y float64) float64 { return 1 / y },
	Square:  math.Sqrt, Cube: math.Cbrt,
	Sqrt:     func(y float64) float64 { return y * y },
	CubeRoot: func(y float64) float64 { return y * y * y },
}

// Reading turns a value into the nearest reading in the given format: for a
// value out of its range the lowest or the highest one. ok is false for a
// value that no reading stands for.
func (f Factors) Reading(value float64, format Analog) (reading uint8, ok bool) {
	if inverse := inverseFuncs[f.Linear]; inverse != nil {
		value = inverse(value)
	}
	x := math.Round((value*math.Pow10(-int(f.RExp)) - float64(f.B)*math.Pow10(int(f.BExp))) / float64(f.M))
	if math.IsNaN(x) || f.M == 0 {
		return 0, false
	}
	low, high := format.bounds()
	return format.reading(int(min(max(x, float64(low)), float64(high)))), true
}

const (
	factorsLen    = 7
	lowBits       = 6
	lowMask       = 0x3F
	tenBits       = 10
	fourBits      = 4
	accExpShift   = 2
	directionMask = 0x03
)

func (f Factors) append(b []byte) []byte {
	return append(b, byte(f.Linear),
		byte(f.M), byte(f.M>>8)<<lowBits|f.Tolerance&lowMask,
		byte(f.B), byte(f.B>>8)<<lowBits|byte(f.Accuracy)&lowMask,
		byte(f.Accuracy>>lowBits)<<highShift|f.AccExp&directionMask<<accExpShift|f.Direction&directionMask,
		byte(f.RExp)<<highShift|byte(f.BExp)&nibble)
}

// AppendReadingFactors appends the six bytes of Get Sensor Reading Factors
// (IPMI 2.0 §35.5): those of a record from M on, without the direction.
func (f Factors) AppendReadingFactors(b []byte) []byte {
	f.Direction = 0
	return append(b, f.append(nil)[1:]...)
}

func parseFactors(b []byte) Factors {
	return Factors{
		Linear: Linear(b[0]),
		M:      signed(int16(b[1])|int16(b[2]>>lowBits)<<8, tenBits), Tolerance: b[2] & lowMask,
		B:        signed(int16(b[3])|int16(b[4]>>lowBits)<<8, tenBits),
		Accuracy: uint16(b[4]&lowMask) | uint16(b[5]>>highShift)<<lowBits,
		AccExp:   b[5] >> accExpShift & directionMask, Direction: b[5] & directionMask,
		RExp: int8(signed(int16(b[6]>>highShift), fourBits)), BExp: int8(signed(int16(b[6]&nibble), fourBits)),
	}
}

// signed reads the low bits of n as a two's complement number.
func signed(n int16, bits int) int16 {
	shift := 16 - bits
	return n << shift >> shift
}
