package node

import (
	"context"
	"encoding/binary"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/rmcp"
)

// One row answers for the sessions of all channels: the LAN door's, and those
// of the serial lines, of which each has one at most. A line answers for its
// own before anybody is asked here.
const (
	cmdSessionCapabilities ipmb.Cmd = 0x38
	cmdCloseSession        ipmb.Cmd = 0x3C
	cmdSessionInfo         ipmb.Cmd = 0x3D

	sessionOwn      = 0
	sessionByHandle = 0xFE
	sessionByID     = 0xFF
	sessionHead     = 3 // handle, sessions that there can be, sessions that there are
	sessionIDLen    = 4

	// serialSessionTail is what comes last of a session on a serial line: that
	// it carries messages, no destination that is called, and no address.
	serialSessionTail = 6
)

type commandFunc = func(context.Context, *ipmb.Request) ([]byte, error)

// sessionCommands are the rows of sessions, the LAN door's with the lines behind.
func (a *access) sessionCommands() []ipmb.Command {
	rows := a.sessions.Commands()
	for i := range rows {
		if rows[i].NetFn != ipmb.NetFnApp {
			continue
		}
		lan := rows[i].Do
		switch rows[i].Cmd {
		case cmdSessionCapabilities:
			rows[i].Do = a.capabilities(lan)
		case cmdCloseSession:
			rows[i].Do = a.closeSession(lan)
		case cmdSessionInfo:
			rows[i].Do = a.sessionInfo(lan)
		}
	}
	return rows
}

// userChanged holds the sessions of a user, by whatever door, to what he may now.
func (c *Controller) userChanged(ctx context.Context, id uint8, by ipmb.Origin) {
	a := c.access
	ended, _ := a.sessions.UserChanged(ctx, id, by) // without a store nothing fails
	a.payloads.UserChanged(id)
	for _, p := range a.lines {
		if p.channel.Sessions && p.door.UserChanged(id, by) {
			ended++
		}
	}
	if ended > 0 {
		c.log.Info("sessions ended with what their user may", "user", id, "sessions", ended)
	}
}

// capabilities answers for a serial channel.
func (a *access) capabilities(lan commandFunc) commandFunc {
	return func(ctx context.Context, req *ipmb.Request) ([]byte, error) {
		n := req.Data[0] & channelMask
		if n == ipmb.ChannelPresent {
			n = req.Origin.Channel
		}
		for _, p := range a.lines {
			if p.channel.Number == n && p.channel.Sessions {
				return p.door.Capabilities(req.Data[1])
			}
		}
		return lan(ctx, req)
	}
}

// closeSession lets an administrator end the session of a serial line.
func (a *access) closeSession(lan commandFunc) commandFunc {
	return func(ctx context.Context, req *ipmb.Request) ([]byte, error) {
		id := binary.LittleEndian.Uint32(req.Data)
		s := a.lineSession(func(s lineSession) bool { return id != 0 && s.ID == id })
		if id == 0 && len(req.Data) > sessionIDLen {
			s = a.lineSession(func(s lineSession) bool { return s.Handle == req.Data[sessionIDLen] })
		}
		switch {
		case s == nil:
			return lan(ctx, req)
		case req.Origin.Privilege < ipmb.PrivilegeAdmin:
			return nil, ipmb.ErrPrivilege
		case !s.port.door.CloseSession(s.ID):
			return nil, rmcp.ErrNoSession
		}
		return nil, nil
	}
}

// sessionInfo tells of a line's session where the LAN door has none that is
// meant. Those of the lines are counted behind its own.
func (a *access) sessionInfo(lan commandFunc) commandFunc {
	return func(ctx context.Context, req *ipmb.Request) ([]byte, error) {
		out, err := lan(ctx, req)
		if err != nil || len(out) < sessionHead {
			return out, err
		}
		open := a.lineSessions()
		if len(out) == sessionHead {
			if s := meant(req, open, int(out[2])); s != nil {
				out = s.appendInfo(out)
			}
		}
		out[2] += byte(len(open))
		return out, nil
	}
}

// meant finds the line's session that Get Session Info is about, behind so many
// others.
func meant(req *ipmb.Request, open []lineSession, others int) *lineSession {
	for i, s := range open {
		var is bool
		switch which := req.Data[0]; which {
		case sessionOwn:
			is = req.Origin.Door == ipmb.DoorSerial && req.Origin.Session == s.ID
		case sessionByHandle:
			is = s.Handle == req.Data[1]
		case sessionByID:
			is = s.ID == binary.LittleEndian.Uint32(req.Data[1:])
		default:
			is = int(which) == others+i+1
		}
		if is {
			return &s
		}
	}
	return nil
}
