package picmg

import "github.com/midplane-project/midplane/ipmb"

// SensorFRUState is the number, on LUN 0, of a controller's hot-swap sensor for
// its FRU 0. The shelf manager reads it there.
const SensorFRUState uint8 = 0x00

// Activation is the request of Set FRU Activation (Wireshark
// packet-ipmi-picmg.c):
//
//	FRU id  00 = deactivate, 01 = activate
type Activation struct {
	FRU    uint8
	Active bool
}

const activationLen = 2

// AppendBinary appends the body to b. It never fails.
func (a Activation) AppendBinary(b []byte) ([]byte, error) {
	return append(b, a.FRU, flag(a.Active)), nil
}

// ParseActivation reads the body: C7h for a wrong length, CCh for what is
// neither.
func ParseActivation(b []byte) (Activation, error) {
	if len(b) != activationLen {
		return Activation{}, ipmb.ErrLength
	}
	if b[1] > 1 {
		return Activation{}, ipmb.ErrInvalidField
	}
	return Activation{FRU: b[0], Active: b[1] == 1}, nil
}

// Bits of an activation policy.
const (
	PolicyLocked             uint8 = 0x01
	PolicyDeactivationLocked uint8 = 0x02

	policyBits = PolicyLocked | PolicyDeactivationLocked
)

// ActivationPolicy is the request of Set FRU Activation Policy (Wireshark
// packet-ipmi-picmg.c). Only the bits in the mask change:
//
//	FRU id  mask  bits
type ActivationPolicy struct {
	FRU  uint8
	Mask uint8
	Bits uint8
}

const activationPolicyLen = 3

// AppendBinary appends the body to b. It never fails.
func (p ActivationPolicy) AppendBinary(b []byte) ([]byte, error) {
	return append(b, p.FRU, p.Mask, p.Bits), nil
}

// ParseActivationPolicy reads the body: C7h for a wrong length, CCh for a bit
// that does not exist.
func ParseActivationPolicy(b []byte) (ActivationPolicy, error) {
	if len(b) != activationPolicyLen {
		return ActivationPolicy{}, ipmb.ErrLength
	}
	if (b[1]|b[2])&^policyBits != 0 {
		return ActivationPolicy{}, ipmb.ErrInvalidField
	}
	return ActivationPolicy{FRU: b[0], Mask: b[1], Bits: b[2]}, nil
}

// Policy gives the bits of Get FRU Activation Policy.
func (h HotSwap) Policy() (bits uint8) {
	if h.Locked {
		bits |= PolicyLocked
	}
	if h.DeactivationLocked {
		bits |= PolicyDeactivationLocked
	}
	return bits
}

// WithPolicy is h with a policy set.
func (h HotSwap) WithPolicy(p ActivationPolicy) HotSwap {
	bits := h.Policy()&^p.Mask | p.Bits&p.Mask
	h.Locked, h.DeactivationLocked = bits&PolicyLocked != 0, bits&PolicyDeactivationLocked != 0
	return h
}
