package thermal

import (
	"math"
	"time"
)

// Environment is what surrounds a blade.
type Environment struct {
	Inlet float64 // temperature of the air that comes in, °C
	Fan   float64 // level of the fans, 0 to 1
}

// Load is what the VM does.
type Load struct {
	On  bool
	CPU float64 // how much of its processors' time it takes, 0 to 1
}

// State is a blade at one moment. The zero State is none: begin with Cold.
type State struct {
	CPU   float64 // temperature, °C
	Power float64 // W, from the 12 V supply
	Speed float64 // rpm, of fans at the environment's level
}

// Cold is a blade that has been off for long.
func Cold(e Environment) State {
	return State{CPU: e.Inlet, Power: standbyPower, Speed: fanFull * clamp(e.Fan)}
}

// The model's blade: 45 W when its guest idles, 165 W when it computes, with a
// heat sink that brings its processor to some 35 °C above the air at full load
// with the fans half up. It stands for no real product.
const (
	standbyPower = 4.0  // W, of the management controller alone
	basePower    = 25.0 // W, of all but the processor
	cpuIdle      = 20.0 // W
	cpuFull      = 140.0

	resistance = 0.17 // K/W of the heat sink, with full fans
	stillAir   = 0.18 // what it gets of its full air flow without fans
	timeConst  = 25 * time.Second
)

// Step is the blade dt later, if load and environment are as given meanwhile.
func (s State) Step(dt time.Duration, l Load, e Environment) State {
	cpu := 0.0
	power := standbyPower
	if l.On {
		cpu = cpuIdle + (cpuFull-cpuIdle)*clamp(l.CPU)
		power = basePower + cpu
	}
	flow := stillAir + (1-stillAir)*clamp(e.Fan)
	settled := e.Inlet + cpu*resistance/math.Sqrt(flow)
	left := math.Exp(-dt.Seconds() / (timeConst.Seconds() / flow))
	return State{CPU: settled + (s.CPU-settled)*left, Power: power, Speed: spin(s.Speed, dt, e.Fan)}
}

// Outlet is the temperature of the air that leaves, °C: what power it takes up.
func (s State) Outlet(e Environment) float64 {
	const watts = 14.0 // per kelvin, with full fans
	flow := stillAir + (1-stillAir)*clamp(e.Fan)
	return e.Inlet + s.Power/(watts*flow)
}

// Supply rails: volts without load, and the ohms that make them sag.
const (
	railVolts = 12.10
	railOhms  = 0.008
)

// Volts12 is the 12 V supply, which sags under load.
func (s State) Volts12() float64 { return railVolts - railOhms*s.Amps() }

// Amps is the current from the 12 V supply: power is volts times amps.
func (s State) Amps() float64 {
	return (railVolts - math.Sqrt(railVolts*railVolts-4*railOhms*s.Power)) / (2 * railOhms)
}

// Volts33 and Volts5 are regulated from it; of its sag a hundredth is left.
// They are there only when the VM is on.
func (s State) Volts33(l Load) float64 { return s.regulated(l, 3.31) }

// Volts5 is as Volts33.
func (s State) Volts5(l Load) float64 { return s.regulated(l, 5.03) }

func (s State) regulated(l Load, volts float64) float64 {
	if !l.On {
		return 0
	}
	return volts * (1 - (railVolts-s.Volts12())/railVolts/100)
}

func clamp(x float64) float64 { return min(max(x, 0), 1) }
