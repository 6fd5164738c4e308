package mc

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/midplane-project/midplane/ipmb"
)

// ErrNotConfigurable is the answer to an attempt to enable what is not there,
// or to disable what must stay (IPMI 2.0 §21.7).
const ErrNotConfigurable ipmb.CompletionCode = 0x80

// Fields of the firewall's commands (IPMI 2.0 §21.2 to §21.11).
const (
	netFnMask    = 0x3F
	halfShift    = 6 // 0: commands 00h to 7Fh, 1: 80h to FFh
	halfCommands = 128
	halfBytes    = halfCommands / 8
	subBytes     = 4
	lunMask      = 0x03
	lunFree      = 0x01 // commands, none of them disabled
	lunCurbed    = 0x02 // commands, some of them disabled
	lastBody     = 0x01

	errataRevision = 0x11 // of the specification, 1.1
)

// Commands gives the rows of the firmware firewall.
func (f *Firewall) Commands() []ipmb.Command {
	type do = func(context.Context, *ipmb.Request) ([]byte, error)
	row := func(name string, cmd ipmb.Cmd, p ipmb.Privilege, data ipmb.Span, ref string, g do) ipmb.Command {
		return ipmb.Command{
			Name: name, NetFn: ipmb.NetFnApp, Cmd: cmd, Privilege: p, Data: data, Effect: p == ipmb.PrivilegeAdmin, Ref: ref, Do: g,
		}
	}
	user, admin := ipmb.PrivilegeUser, ipmb.PrivilegeAdmin
	return []ipmb.Command{
		row("Get NetFn Support", 0x09, user, ipmb.Exactly(1), "IPMI 2.0 §21.2", f.netFns),
		row("Get Command Support", 0x0A, user, ipmb.AtLeast(3), "IPMI 2.0 §21.3", f.mask(func(firewallTarget, ipmb.CommandID) bool { return true }, true)),
		row("Get Command Sub-function Support", 0x0B, user, ipmb.AtLeast(4), "IPMI 2.0 §21.4", f.subSupport),
		row("Get Configurable Commands", 0x0C, user, ipmb.AtLeast(3), "IPMI 2.0 §21.5", f.mask(firewallTarget.configurable, false)),
		row("Get Configurable Command Sub-functions", 0x0D, user, ipmb.AtLeast(4), "IPMI 2.0 §21.6", f.subConfigurable),
		row("Set Command Enables", 0x60, admin, ipmb.AtLeast(3+halfBytes), "IPMI 2.0 §21.7", f.setEnables),
		row("Get Command Enables", 0x61, user, ipmb.AtLeast(3), "IPMI 2.0 §21.8", f.mask(f.enabled, false)),
		row("Set Command Sub-function Enables", 0x62, admin, ipmb.AtLeast(4+subBytes), "IPMI 2.0 §21.9", f.setSubEnables),
		row("Get Command Sub-function Enables", 0x63, user, ipmb.AtLeast(4), "IPMI 2.0 §21.10", f.subEnables),
		row("Get OEM NetFn IANA Support", 0x64, user, ipmb.Exactly(3), "IPMI 2.0 §21.11", f.bodies),
	}
}

// firewallTarget is which commands are meant: those of a network function and
// body on a channel and LUN.
type firewallTarget struct {
	channel uint8
	netFn   ipmb.NetFn
	lun     ipmb.LUN
	body    ipmb.Body
	first   int // 0 or 128
}

// target reads channel, network function and LUN; body is where the defining
// body is, of which nothing may be left over.
func (f *Firewall) target(req *ipmb.Request, body []byte) (firewallTarget, error) {
	d := req.Data
	c, err := f.channels.find(req, d[0])
	half := d[1] >> halfShift
	if err != nil || half > 1 {
		return firewallTarget{}, ipmb.ErrInvalidField
	}
	n := ipmb.NetFn(d[1] & netFnMask).Request()
	b, rest, ok := ipmb.SplitBody(n, body)
	if !ok || len(rest) > 0 {
		return firewallTarget{}, ipmb.ErrLength
	}
	return firewallTarget{
		channel: c.Number, netFn: n, lun: ipmb.LUN(d[2] & lunMask), body: b, first: int(half) * halfCommands,
	}, nil
}

// id names one of the target's commands.
func (t firewallTarget) id(cmd int) ipmb.CommandID {
	return ipmb.CommandID{NetFn: t.netFn, Body: t.body, Cmd: ipmb.Cmd(cmd)}
}

// covers reports whether a row is one of the target's commands.
func (t firewallTarget) covers(row *ipmb.Command) bool {
	return row.NetFn == t.netFn && row.Body == t.body && int(row.Cmd)&halfCommands == t.first && serves(row, t.channel, t.lun)
}

// configurable reports whether a command can be disabled: on LUN 0, where
// requests to a controller go.
func (t firewallTarget) configurable(id ipmb.CommandID) bool {
	return t.lun == ipmb.LUNBMC && configurable(id)
}

func (f *Firewall) enabled(t firewallTarget, id ipmb.CommandID) bool {
	return t.lun != ipmb.LUNBMC || !f.rule(t.channel, id).whole
}

// serves reports whether a row is there for who comes by a channel to a LUN.
func serves(row *ipmb.Command, channel uint8, lun ipmb.LUN) bool {
	return (lun == ipmb.LUNBMC || row.AnyLUN) && (row.Access != ipmb.SystemOnly || channel == ipmb.ChannelSystem)
}

// served reports whether one of the target's commands is there at all.
func (f *Firewall) served(t firewallTarget, id ipmb.CommandID) bool {
	row := f.mux().Row(id)
	return row != nil && serves(row, t.channel, t.lun)
}

// netFns lists the network functions in which each LUN has commands, a bit for
// each pair of request and response.
func (f *Firewall) netFns(_ context.Context, req *ipmb.Request) ([]byte, error) {
	c, err := f.channels.find(req, req.Data[0])
	if err != nil {
		return nil, err
	}
	var kinds byte
	var pairs [4]uint32
	curbed := false
	for row := range f.mux().All() {
		for lun := range ipmb.LUN(4) {
			if serves(row, c.Number, lun) {
				pairs[lun] |= 1 << (row.NetFn / 2)
				kinds |= lunFree << (2 * lun)
			}
		}
		curbed = curbed || f.rule(c.Number, idOf(row)) != (firewallRule{})
	}
	if curbed { // only LUN 0 can be
		kinds = kinds&^lunMask | lunCurbed
	}
	out := []byte{kinds}
	for _, p := range pairs {
		out = binary.LittleEndian.AppendUint32(out, p)
	}
	return out, nil
}

// mask gives a command that answers a bit for each of 128 commands: whether it
// is there and has a property, or the opposite where the bits are inverted.
func (f *Firewall) mask(has func(firewallTarget, ipmb.CommandID) bool, inverted bool) func(context.Context, *ipmb.Request) ([]byte, error) {
	return func(_ context.Context, req *ipmb.Request) ([]byte, error) {
		t, err := f.target(req, req.Data[3:])
		if err != nil {
			return nil, err
		}
		out := make([]byte, halfBytes)
		for row := range f.mux().All() {
			if i := int(row.Cmd) - t.first; t.covers(row) && has(t, idOf(row)) {
				out[i/8] |= 1 << (i % 8)
			}
		}
		for i := range out {
			if inverted {
				out[i] = ^out[i]
			}
		}
		return out, nil
	}
}

// mayChange keeps guests from disabling what others, such as the shelf, may
// ask: a guest has a say on its own channel only.
func mayChange(req *ipmb.Request, channel uint8) error {
	if req.Origin.Speaker == ipmb.SpeakerGuest && channel != req.Origin.Channel {
		return ipmb.ErrPrivilege
	}
	return nil
}

func (f *Firewall) setEnables(_ context.Context, req *ipmb.Request) ([]byte, error) {
	mask := req.Data[3 : 3+halfBytes]
	t, err := f.target(req, req.Data[3+halfBytes:])
	if err != nil {
		return nil, err
	}
	if err := mayChange(req, t.channel); err != nil {
		return nil, err
	}
	enabled := func(id ipmb.CommandID) bool { return mask[id.Cmd%halfCommands/8]>>(id.Cmd%8)&1 != 0 }
	var ids []ipmb.CommandID
	for i := range halfCommands {
		id := t.id(t.first + i)
		switch served := f.served(t, id); {
		case served && t.configurable(id):
			ids = append(ids, id)
		case enabled(id) != served:
			return nil, ErrNotConfigurable
		}
	}
	return nil, f.change(t.channel, ids, func(id ipmb.CommandID, r firewallRule) firewallRule {
		r.whole = !enabled(id)
		return r
	})
}

// sub reads the command whose sub-functions are meant, which must be there.
func (f *Firewall) sub(req *ipmb.Request, body []byte) (t firewallTarget, id ipmb.CommandID, err error) {
	if req.Data[1]>>halfShift != 0 {
		return t, id, ipmb.ErrInvalidField
	}
	if t, err = f.target(req, body); err != nil {
		return t, id, err
	}
	if id = t.id(int(req.Data[3])); !f.served(t, id) {
		return t, id, ipmb.ErrInvalidField
	}
	return t, id, nil
}

// subMask has a bit for each sub-function of a command.
func subMask(id ipmb.CommandID) uint32 { return 1<<subFunctions[id].count - 1 }

// subSupport tells which specification a command's sub-functions are from, and
// a bit for each that is not there.
func (f *Firewall) subSupport(_ context.Context, req *ipmb.Request) ([]byte, error) {
	_, id, err := f.sub(req, req.Data[4:])
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint32([]byte{0, ipmiVersion, errataRevision}, ^subMask(id)), nil
}

func (f *Firewall) subConfigurable(_ context.Context, req *ipmb.Request) ([]byte, error) {
	t, id, err := f.sub(req, req.Data[4:])
	if err != nil {
		return nil, err
	}
	if !t.configurable(id) {
		return make([]byte, subBytes), nil
	}
	return binary.LittleEndian.AppendUint32(nil, subMask(id)), nil
}

func (f *Firewall) subEnables(_ context.Context, req *ipmb.Request) ([]byte, error) {
	t, id, err := f.sub(req, req.Data[4:])
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint32(nil, subMask(id)&^f.rule(t.channel, id).subs), nil
}

// setSubEnables takes a bit for each of 32 or 64 sub-functions, behind the
// defining body.
func (f *Firewall) setSubEnables(_ context.Context, req *ipmb.Request) ([]byte, error) {
	l := len(ipmb.AppendBody(nil, ipmb.NetFn(req.Data[1]&netFnMask), 0))
	mask := req.Data[min(4+l, len(req.Data)):]
	if len(mask) != subBytes && len(mask) != 2*subBytes {
		return nil, ipmb.ErrLength
	}
	t, id, err := f.sub(req, req.Data[4:4+l])
	if err != nil {
		return nil, err
	}
	if err := mayChange(req, t.channel); err != nil {
		return nil, err
	}
	enable := binary.LittleEndian.Uint32(mask)
	if all := subMask(id); !t.configurable(id) || enable&^all != 0 || slices.ContainsFunc(mask[subBytes:], func(b byte) bool { return b != 0 }) {
		return nil, ErrNotConfigurable
	}
	return nil, f.change(t.channel, []ipmb.CommandID{id}, func(id ipmb.CommandID, r firewallRule) firewallRule {
		r.subs = subMask(id) &^ enable
		return r
	})
}

// bodies lists the defining bodies or enterprise numbers of a network function,
// one an answer.
func (f *Firewall) bodies(_ context.Context, req *ipmb.Request) ([]byte, error) {
	c, err := f.channels.find(req, req.Data[0])
	if err != nil {
		return nil, err
	}
	n := ipmb.NetFn(req.Data[1] & netFnMask).Request()
	var list []ipmb.Body
	var luns byte
	for row := range f.mux().All() {
		if row.NetFn != n || !serves(row, c.Number, ipmb.LUNBMC) || len(ipmb.AppendBody(nil, n, 0)) == 0 {
			continue
		}
		if !slices.Contains(list, row.Body) {
			list = append(list, row.Body)
		}
		luns = lunFree
	}
	i := int(req.Data[2] & netFnMask)
	if i >= len(list) {
		return nil, ipmb.ErrParameterRange
	}
	return ipmb.AppendBody([]byte{flags(map[byte]bool{lastBody: i == len(list)-1}), luns}, n, list[i]), nil
}
