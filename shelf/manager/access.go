package manager

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/rmcp"
)

// LAN is what the shelf's LAN door needs of its surroundings.
type LAN struct {
	// Key gives the key that secrets in the replicated state are sealed with:
	// all replicas have the same.
	Key func() ([]byte, error)
	// Password gives the first administrator's password.
	Password func() (string, error)
	// Address is where clients find the door; not valid where nobody said.
	Address netip.AddrPort
	Style   ipmb.BridgeStyle
	Logins  rmcp.Settings
}

var errNoKey = errors.New("this shelf has no LAN door")

// access is who may use 0x20 over the LAN, what the channel lets through, and
// the sessions. All of it is replicated; a new manager reads it anew.
type access struct {
	m        *Manager
	records  *replicated
	turn     turn
	channels *mc.ChannelAccess
	keys     *mc.ChannelKeys
	users    *mc.Users
	lan      *mc.LAN
	sol      *mc.SOL
	sessions *rmcp.Sessions
	payloads *rmcp.SOL
	sealer   *mc.Sealer
	suites   []mc.CipherSuite
}

// openAccess reads it. What cannot be read stays out of the door's reach: there
// is then nobody who may log in.
func openAccess(m *Manager) *access {
	a, err := readAccess(m, &replicated{m: m})
	if err == nil {
		return a
	}
	m.cfg.Logger.Error("users and channels of the shelf cannot be read: its LAN door stays closed", "shelf", m.cfg.Shelf, "err", err)
	a, err = readAccess(m, new(mc.MemoryRecords))
	if err != nil {
		panic("manager: an empty store cannot be read: " + err.Error())
	}
	return a
}

func readAccess(m *Manager, r mc.Records) (*access, error) {
	a := &access{m: m, turn: newTurn()}
	a.records, _ = r.(*replicated)
	door := LAN{Key: func() ([]byte, error) { return nil, errNoKey }}
	if m.cfg.LAN != nil {
		door = *m.cfg.LAN
	}
	a.sealer = mc.NewSealer(door.Key)
	a.suites = door.Logins.CipherSuites()
	lanChannel := mc.LANChannel
	lanChannel.Active = func() int { return a.sessions.Open() } // nobody asks before they are there
	channels, lan := mc.Channels{mc.IPMBChannel, lanChannel}, lanChannel.Number
	var errs [4]error
	if a.channels, errs[0] = mc.OpenChannelAccess(channels, r); errs[0] != nil {
		return nil, errs[0]
	}
	a.keys = mc.NewChannelKeys(a.channels, r, a.sealer)
	a.users, errs[1] = mc.OpenUsers(a.channels, r, a.sealer)
	logins := mc.LANLogins{Suites: a.suites, AuthTypes: door.Logins.AuthTypes()}
	a.lan, errs[2] = mc.OpenLAN(channels, lan, hardwareAddress(m.cfg.Identity.SystemGUID), r, logins)
	a.sol, errs[3] = mc.OpenSOL(channels, lan, r)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	a.fixPlace(door.Address)
	a.sessions = rmcp.NewSessions(rmcp.Config{
		Channel: lan, GUID: m.cfg.Identity.SystemGUID, Suites: a.suites, SuiteLimit: a.lan.SuiteLimit,
		SharedKey: door.Key, UserName: a.users.Name,
		AuthTypes: logins.AuthTypes, AuthEnabled: a.lan.AuthEnabled,
		Active: a.channels.Active, Account: a.users.Account, Standing: a.users.Standing, Key: a.keys.Key, Store: sessionStore{a},
	})
	a.payloads = a.openPayloads(door)
	a.users.Changed = a.userChanged
	a.restoreSessions(r)
	return a, nil
}

// hardwareAddress is one of local administration, the same at every replica.
func hardwareAddress(guid mc.GUID) (mac [6]byte) {
	copy(mac[:], guid[len(guid)-len(mac):])
	mac[0] = mac[0]&^0x03 | 0x02
	return mac
}

// tables are the rows. Over the bus nobody learns who the shelf's users are, nor
// changes anything: that is for them and for the API.
func (a *access) tables() [][]ipmb.Command {
	channels := a.alone(a.channels.Commands())
	for i := range channels {
		if channels[i].Effect {
			channels[i] = a.inside(channels[i])
		}
	}
	closed := slices.Concat(a.keys.Commands(), a.users.Commands(), a.lan.Commands(), a.sol.Commands())
	closed = a.alone(closed)
	for i := range closed {
		closed[i] = a.inside(closed[i])
	}
	sessions := a.sessions.Commands()
	for i := range sessions {
		if sessions[i].Privilege != ipmb.PrivilegeNone {
			sessions[i] = a.inside(sessions[i])
		}
	}
	return [][]ipmb.Command{channels, closed, mc.CipherCommands(a.channels, a.suites...), sessions, a.payloadRows()}
}

// inside closes a row to the bus.
func (a *access) inside(row ipmb.Command) ipmb.Command {
	do := row.Do
	row.Access = ipmb.NotGuest
	row.Do = func(ctx context.Context, req *ipmb.Request) ([]byte, error) {
		if req.Origin.Door == ipmb.DoorIPMB {
			a.m.cfg.Logger.Warn("request refused: only the shelf's own users may", "shelf", a.m.cfg.Shelf, "command", row.Name,
				"from", req.Origin.Source, "speaker", req.Origin.Speaker)
			return nil, ipmb.ErrPrivilege
		}
		return do(ctx, req)
	}
	return row
}

// alone serves the rows one request at a time. What one changes is committed
// under its name, with its answer.
func (a *access) alone(rows []ipmb.Command) []ipmb.Command {
	for i := range rows {
		do := rows[i].Do
		rows[i].Do = func(ctx context.Context, req *ipmb.Request) ([]byte, error) {
			if err := a.turn.take(ctx); err != nil {
				return nil, ipmb.ErrNoResponse
			}
			defer a.turn.release()
			if a.records != nil {
				ctx, cancel := lasting(ctx)
				defer cancel()
				a.records.by, a.records.ctx, a.records.response = req, ctx, a.answer(req)
				defer func() { a.records.by, a.records.ctx = nil, nil }()
			}
			return do(ctx, req)
		}
	}
	return rows
}

// Commands whose answer says something, although they change something.
const (
	cmdSetChannelKeys ipmb.Cmd = 0x56
	cmdSuspendARPs    ipmb.Cmd = 0x03

	keyOpMask   = 0x03
	keySet      = 1
	keyLock     = 2
	keyLocked   = 1
	keyUnlocked = 2
	arpMask     = 0x03
)

// answer foretells what a request that changes something is told.
func (a *access) answer(req *ipmb.Request) []byte {
	switch {
	case req.NetFn == ipmb.NetFnApp && req.Cmd == cmdSetChannelKeys:
		return map[byte][]byte{keySet: {keyUnlocked}, keyLock: {keyLocked}}[req.Data[1]&keyOpMask]
	case req.NetFn == ipmb.NetFnTransport && req.Cmd == cmdSuspendARPs:
		return []byte{a.lan.Get(mc.LANARPControl, 0)[0] &^ (req.Data[1] & arpMask)}
	}
	return nil
}
