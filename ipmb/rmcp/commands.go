package rmcp

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Completion codes of the session commands (IPMI 2.0 §22.18, §22.19).
const (
	ErrLevelUser    ipmb.CompletionCode = 0x80 // not available for this user
	ErrLevelLimit   ipmb.CompletionCode = 0x81 // above the user's or the channel's limit
	ErrNoSession    ipmb.CompletionCode = 0x87
	ErrNoSuchHandle ipmb.CompletionCode = 0x88
)

const (
	cmdSetPrivilege ipmb.Cmd = 0x3B
	cmdCloseSession ipmb.Cmd = 0x3C
)

// Fields of the session commands (IPMI 2.0 §22.13, §22.18 to §22.20).
const (
	askExtended  = 0x80
	channelMask  = 0x0F
	levelMask    = 0x0F
	capExtended  = 0x80
	statusKG     = 0x20
	statusNames  = 0x04 // there are users with names
	cap15        = 0x01
	capRMCPPlus  = 0x02
	byHandle     = 0xFE
	byID         = 0xFF
	typeRMCPPlus = 0x10
	sessionIDLen = 4
	macLen       = 6
)

// Commands gives the rows of sessions.
func (t *Sessions) Commands() []ipmb.Command {
	return append(t.v15Commands(), t.storing([]ipmb.Command{
		{
			Name: "Get Channel Authentication Capabilities", NetFn: ipmb.NetFnApp, Cmd: 0x38, Privilege: ipmb.PrivilegeNone,
			Data: ipmb.Exactly(2), Ref: "IPMI 2.0 §22.13", Do: t.capabilities,
		},
		{
			Name: "Set Session Privilege Level", NetFn: ipmb.NetFnApp, Cmd: cmdSetPrivilege, Privilege: ipmb.PrivilegeUser,
			Data: ipmb.Exactly(1), Effect: true, Ref: "IPMI 2.0 §22.18", Do: t.setPrivilege,
		},
		{
			Name: "Close Session", NetFn: ipmb.NetFnApp, Cmd: cmdCloseSession, Privilege: ipmb.PrivilegeCallback,
			Data: ipmb.Between(sessionIDLen, sessionIDLen+1), Effect: true, Ref: "IPMI 2.0 §22.19", Do: t.closeSession,
		},
		{
			Name: "Get Session Info", NetFn: ipmb.NetFnApp, Cmd: 0x3D, Privilege: ipmb.PrivilegeUser,
			Data: ipmb.Between(1, 1+sessionIDLen), Ref: "IPMI 2.0 §22.20", Do: t.info,
		},
	})...)
}

// capabilities tells a client how it may log in: by RMCP+ or where that is on by
// IPMI 1.5, with a name.
func (t *Sessions) capabilities(_ context.Context, req *ipmb.Request) ([]byte, error) {
	n := req.Data[0] & channelMask
	if n == ipmb.ChannelPresent {
		n = req.Origin.Channel
	}
	level := ipmb.Privilege(req.Data[1] & levelMask)
	if n != t.cfg.Channel || level == ipmb.PrivilegeNone || level > ipmb.PrivilegeOEM {
		return nil, ipmb.ErrInvalidField
	}
	key, err := t.cfg.Key(t.cfg.Channel, mc.KeyG)
	if err != nil {
		return nil, err
	}
	status := byte(statusNames)
	if len(bytes.Trim(key, "\x00")) > 0 {
		status |= statusKG
	}
	out := []byte{n, t.cfg.authEnabled(level), status, 0, 0, 0, 0, 0}
	if req.Data[0]&askExtended != 0 {
		out[1], out[3] = out[1]|capExtended, capRMCPPlus
		if t.cfg.AuthTypes != 0 {
			out[3] |= cap15
		}
	}
	return out, nil
}

// own gives the session that a request came by.
func (t *Sessions) own(req *ipmb.Request) *session {
	return t.ofOrigin(req.Origin)
}

func (t *Sessions) ofOrigin(o ipmb.Origin) *session {
	if o.Door != ipmb.DoorLAN || o.Channel != t.cfg.Channel {
		return nil
	}
	return t.find(o.Session)
}

func (t *Sessions) setPrivilege(_ context.Context, req *ipmb.Request) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	level := ipmb.Privilege(req.Data[0])
	s := t.own(req)
	switch {
	case s == nil:
		return nil, ipmb.ErrState
	case level == ipmb.PrivilegeCallback || level > ipmb.PrivilegeOEM:
		return nil, ipmb.ErrInvalidField
	case level > s.limit:
		return nil, ErrLevelLimit
	case level != ipmb.PrivilegeNone:
		s.privilege = level
	}
	return []byte{byte(s.privilege)}, nil
}

// closeSession ends the own session, or for an administrator any. The keys of
// the own one live until the answer is out.
func (t *Sessions) closeSession(_ context.Context, req *ipmb.Request) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	id, refused := binary.LittleEndian.Uint32(req.Data), ErrNoSession
	s := t.find(id)
	if id == 0 && len(req.Data) > sessionIDLen {
		s, refused = t.byHandle(req.Data[sessionIDLen]), ErrNoSuchHandle
	}
	own := t.own(req)
	switch {
	case s != own && req.Origin.Privilege < ipmb.PrivilegeAdmin:
		return nil, ipmb.ErrPrivilege
	case s == nil:
		return nil, refused
	}
	t.remove(s)
	if s != own {
		s.wipe()
	}
	return nil, nil
}

func (t *Sessions) byHandle(h byte) *session {
	if h == 0 || int(h) >= len(t.handles) {
		return nil
	}
	return t.handles[h]
}

// info describes a session: the own one, the n-th, or one by handle or id. Of
// one that is not there only the numbers of sessions are told.
func (t *Sessions) info(_ context.Context, req *ipmb.Request) ([]byte, error) {
	out, peer, err := t.describe(req)
	if err != nil || out[0] == 0 {
		return out, err
	}
	return t.appendPeer(out, peer), nil // the kernel's table is not read under the lock
}

// describe tells of a session all but what follows from where its console is,
// nothing if there is no session, whose handle is 0.
func (t *Sessions) describe(req *ipmb.Request) (out []byte, peer netip.AddrPort, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	which, rest := req.Data[0], req.Data[1:]
	want := map[byte]int{byHandle: 1, byID: sessionIDLen}[which]
	if len(rest) != want {
		return nil, peer, ipmb.ErrLength
	}
	var s *session
	switch which {
	case 0:
		s = t.own(req)
	case byHandle:
		s = t.byHandle(rest[0])
	case byID:
		s = t.find(binary.LittleEndian.Uint32(rest))
	default:
		s = t.nth(int(which))
	}
	out = []byte{0, MaxSessions, byte(t.active())}
	if s == nil {
		return out, peer, nil
	}
	kind := t.cfg.Channel
	if s.v15 == nil {
		kind |= typeRMCPPlus
	}
	out[0] = s.handle
	return append(out, s.user, byte(s.privilege), kind), s.peer, nil
}

// nth gives the n-th session that is logged in, from 1.
func (t *Sessions) nth(n int) *session {
	for _, s := range t.handles {
		if s == nil {
			continue
		}
		if n--; n == 0 {
			return s
		}
	}
	return nil
}

// appendPeer completes a description with the console's address, as far as it is
// of IPv4: there are four bytes for it.
func (t *Sessions) appendPeer(b []byte, peer netip.AddrPort) []byte {
	var ip [4]byte
	var mac [macLen]byte
	if a := peer.Addr().Unmap(); a.Is4() {
		ip, mac = a.As4(), neighbourNow(t.neighbours, a)
	}
	b = append(append(b, ip[:]...), mac[:]...)
	return binary.LittleEndian.AppendUint16(b, peer.Port())
}
