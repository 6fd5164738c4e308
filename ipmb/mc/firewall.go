package mc

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/midplane-project/midplane/ipmb"
)

// Firewall is the firmware firewall (IPMI 2.0 §21): which of the commands that
// the rows of a mux serve are disabled, per channel. A disabled one gives D6h.
type Firewall struct {
	mux      func() *ipmb.Mux
	channels Channels
	records  Records

	mu    sync.Mutex // of those who change the rules
	rules atomic.Pointer[map[firewallKey]firewallRule]
}

type firewallKey struct {
	channel uint8
	id      ipmb.CommandID
}

// firewallRule says what of a command is disabled. The zero rule is none.
type firewallRule struct {
	whole bool
	subs  uint32 // bit n: sub-function n
}

const firewallRecord = "firewall"

// OpenFirewall reads the rules. mux is asked at each request, so that it may be
// built from the firewall's own rows; its Guard must be this one's.
func OpenFirewall(mux func() *ipmb.Mux, channels Channels, r Records) (*Firewall, error) {
	v, err := r.Get(firewallRecord)
	if err != nil {
		return nil, err
	}
	rules, err := parseRules(v)
	if err != nil {
		return nil, err
	}
	f := &Firewall{mux: mux, channels: channels, records: r}
	f.rules.Store(&rules)
	return f, nil
}

// Guard is the mux's: it refuses what is disabled on the channel that a
// request came by. The daemon itself and its API come by no channel.
func (f *Firewall) Guard(req *ipmb.Request, row *ipmb.Command) error {
	rules := *f.rules.Load()
	if len(rules) == 0 || req.Origin.Door == ipmb.DoorInternal || req.Origin.Door == ipmb.DoorAPI {
		return nil
	}
	id := idOf(row)
	rule, ok := rules[firewallKey{req.Origin.Channel, id}]
	if !ok {
		return nil
	}
	if rule.whole {
		return ipmb.ErrDisabled
	}
	if sub, ok := subFunctions[id]; ok && rule.subs>>sub.of(req.Data)&1 != 0 {
		return ipmb.ErrDisabled
	}
	return nil
}

func idOf(row *ipmb.Command) ipmb.CommandID {
	return ipmb.CommandID{NetFn: row.NetFn, Body: row.Body, Cmd: row.Cmd}
}

func (f *Firewall) rule(channel uint8, id ipmb.CommandID) firewallRule {
	return (*f.rules.Load())[firewallKey{channel, id}]
}

// change stores what f makes of the rules of some commands, which then holds.
func (f *Firewall) change(channel uint8, ids []ipmb.CommandID, to func(ipmb.CommandID, firewallRule) firewallRule) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	rules := maps.Clone(*f.rules.Load())
	for _, id := range ids {
		k := firewallKey{channel, id}
		if r := to(id, rules[k]); r != (firewallRule{}) {
			rules[k] = r
		} else {
			delete(rules, k)
		}
	}
	if maps.Equal(rules, *f.rules.Load()) {
		return nil
	}
	if err := f.records.Put(firewallRecord, encodeRules(rules)); err != nil {
		return err
	}
	f.rules.Store(&rules)
	return nil
}

// subFunction is where a command says what of it is asked.
type subFunction struct {
	count int // from 0
	of    func(data []byte) uint8
}

// subFunctions are the commands whose parts can be disabled: what Chassis
// Control does is its sub-function (IPMI 2.0 appendix H).
var subFunctions = map[ipmb.CommandID]subFunction{
	{NetFn: ipmb.NetFnChassis, Cmd: 0x02}: {count: 6, of: func(data []byte) uint8 { return data[0] & 0x0F }},
}

// staying are commands that cannot be disabled: who a controller is, its
// channels and its firewall are asked before all else, and the driver of a
// system interface must be able to empty its queues.
var staying = []ipmb.Cmd{
	0x01, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x30, 0x31, 0x33, 0x35, 0x42, 0x60, 0x61, 0x62, 0x63, 0x64,
}

func configurable(id ipmb.CommandID) bool {
	return id.NetFn != ipmb.NetFnApp || !slices.Contains(staying, id.Cmd)
}

// The record of the rules: a version, then each rule in 12 bytes: channel,
// network function, body, command, whole, sub-functions.
const (
	firewallVersion = 1
	firewallEntry   = 12
)

var errFirewallRecord = errors.New("record of the firmware firewall cannot be read")

func encodeRules(rules map[firewallKey]firewallRule) []byte {
	out := []byte{firewallVersion}
	for k, r := range rules {
		out = append(out, k.channel, byte(k.id.NetFn))
		out = binary.LittleEndian.AppendUint32(out, uint32(k.id.Body))
		out = append(out, byte(k.id.Cmd), flags(map[byte]bool{1: r.whole}))
		out = binary.LittleEndian.AppendUint32(out, r.subs)
	}
	return out
}

// parseRules reads a record; nil gives no rules.
func parseRules(v []byte) (map[firewallKey]firewallRule, error) {
	rules := make(map[firewallKey]firewallRule)
	if v == nil {
		return rules, nil
	}
	if len(v) < 1 || v[0] != firewallVersion || (len(v)-1)%firewallEntry != 0 {
		return nil, errFirewallRecord
	}
	for e := v[1:]; len(e) > 0; e = e[firewallEntry:] {
		id := ipmb.CommandID{NetFn: ipmb.NetFn(e[1]), Body: ipmb.Body(binary.LittleEndian.Uint32(e[2:])), Cmd: ipmb.Cmd(e[6])}
		rules[firewallKey{e[0], id}] = firewallRule{whole: e[7] != 0, subs: binary.LittleEndian.Uint32(e[8:])}
	}
	return rules, nil
}
