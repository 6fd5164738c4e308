package pef

import "github.com/midplane-project/midplane/ipmb"

// PolicyLen is the length of a policy entry in bytes, without its number.
const PolicyLen = 3

// Policy is an entry of the alert policy table (IPMI 2.0 table 17-4):
//
//	[7:4] policy number, [3] enabled, [2:0] rule
//	[7:4] channel, [3:0] destination
//	[7] event-specific string, [6:0] string set, or selector
type Policy struct {
	Number        uint8 // of the set that the entry belongs to
	Enabled       bool
	Rule          Rule
	Channel       uint8
	Destination   uint8
	EventSpecific bool  // String is a set, and the filter's number chooses within it
	String        uint8 // alert string
}

// Rule says what an entry of a policy set does after the alert before it.
type Rule uint8

// Rules. All but the first do nothing but pass on when the alert before them
// had success.
const (
	RuleAlways       Rule = 0
	RuleNext         Rule = 1 // go on with the next entry
	RuleStop         Rule = 2 // leave the rest out
	RuleOtherChannel Rule = 3 // go on with the next entry for another channel
	RuleOtherType    Rule = 4 // go on with the next entry for another type of destination
)

const (
	policyEnabled = 0x08
	policyRule    = 0x07
	stringIsSet   = 0x80
	stringMask    = 0x7F
)

// ParsePolicy reads an entry: C7h for a wrong length, CCh for a reserved rule.
func ParsePolicy(b []byte) (Policy, error) {
	if len(b) != PolicyLen {
		return Policy{}, ipmb.ErrLength
	}
	rule := Rule(b[0] & policyRule)
	if rule > RuleOtherType {
		return Policy{}, ipmb.ErrInvalidField
	}
	return Policy{
		Number: b[0] >> 4, Enabled: b[0]&policyEnabled != 0, Rule: rule,
		Channel: b[1] >> 4, Destination: b[1] & 0x0F,
		EventSpecific: b[2]&stringIsSet != 0, String: b[2] & stringMask,
	}, nil
}

// Append appends the entry's bytes.
func (p Policy) Append(b []byte) []byte {
	first, last := p.Number<<4|byte(p.Rule), p.String
	if p.Enabled {
		first |= policyEnabled
	}
	if p.EventSpecific {
		last |= stringIsSet
	}
	return append(b, first, p.Channel<<4|p.Destination, last)
}

// walk goes through a policy set. Its zero value is before the first entry.
type walk struct {
	succeeded bool // the alert before
	stopped   bool

	avoidChannel, avoidKind bool
	channel, kind           uint8 // that an entry must not have while avoided
}

// sends reports whether an entry, to a destination of this kind, is to be
// alerted. What comes of it is told by result.
func (w *walk) sends(p Policy, kind uint8) bool {
	if w.stopped || w.avoidChannel && p.Channel == w.channel || w.avoidKind && kind == w.kind {
		return false
	}
	w.avoidChannel, w.avoidKind = false, false
	if p.Rule == RuleAlways || !w.succeeded {
		return true
	}
	w.stopped = p.Rule == RuleStop
	w.avoidChannel, w.channel = p.Rule == RuleOtherChannel, p.Channel
	w.avoidKind, w.kind = p.Rule == RuleOtherType, kind
	return false
}

func (w *walk) result(success bool) { w.succeeded = success }
