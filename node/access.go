package node

import (
	"errors"

	"github.com/google/uuid"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/rmcp"
)

// access is who may use the controller by a channel with sessions, what its
// channels let through, and how they are configured.
type access struct {
	channels *mc.ChannelAccess
	keys     *mc.ChannelKeys
	users    *mc.Users
	lan      *mc.LAN
	sol      *mc.SOL
	serial   *mc.Serial
	info     *mc.SystemInfo
	firewall *mc.Firewall
	sessions *rmcp.Sessions
	payloads *rmcp.SOL
	suites   []mc.CipherSuite
	lines    []*serialPort // with doors; set before anybody asks
}

// openAccess reads it from the store. mux is the one that its rows will be in.
func openAccess(id Identity, instance uuid.UUID, db *kv.DB, mux func() *ipmb.Mux) (*access, error) {
	var a access
	lanChannel := mc.LANChannel
	lanChannel.Active = func() int { return a.sessions.Open() } // nobody asks before they are there
	channels := append(mc.Channels{mc.IPMBChannel, lanChannel, mc.SystemChannel(id.Interface)}, id.Serial...)
	lan, r, sealer := mc.LANChannel.Number, records{db}, mc.NewSealer(sealKey(db.Path()).read)
	a.suites = id.Logins.CipherSuites()
	logins := mc.LANLogins{Suites: a.suites, AuthTypes: id.Logins.AuthTypes()}
	var errs [7]error
	if a.channels, errs[0] = mc.OpenChannelAccess(channels, r); errs[0] != nil {
		return nil, errs[0]
	}
	a.keys = mc.NewChannelKeys(a.channels, r, sealer)
	a.users, errs[1] = mc.OpenUsers(a.channels, r, sealer)
	a.lan, errs[2] = mc.OpenLAN(channels, lan, hardwareAddress(instance), r, logins)
	a.sol, errs[3] = mc.OpenSOL(channels, lan, r)
	a.info, errs[4] = mc.OpenSystemInfo(r, id.Name)
	a.firewall, errs[5] = mc.OpenFirewall(mux, channels, r)
	a.serial, errs[6] = mc.OpenSerial(channels, r)
	a.sessions = rmcp.NewSessions(rmcp.Config{
		Channel: lan, GUID: id.SystemGUID, Suites: a.suites, AuthTypes: logins.AuthTypes,
		Active: a.channels.Active, Account: a.users.Account, Standing: a.users.Standing, Key: a.keys.Key,
		SuiteLimit: a.lan.SuiteLimit, AuthEnabled: a.lan.AuthEnabled,
	})
	a.payloads = rmcp.NewSOL(rmcp.SOLConfig{
		Sessions:  a.sessions,
		Parameter: func(n uint8) []byte { return a.sol.Get(n, 0) },
		Allowed:   func(user uint8) bool { return a.users.MayUseSOL(lan, user) },
	})
	return &a, errors.Join(errs[:]...)
}

// hardwareAddress is one of local administration, the same for ever.
func hardwareAddress(instance uuid.UUID) (mac [6]byte) {
	copy(mac[:], instance[len(instance)-len(mac):])
	mac[0] = mac[0]&^0x03 | 0x02
	return mac
}

func (a *access) tables() [][]ipmb.Command {
	return [][]ipmb.Command{
		a.channels.Commands(), a.keys.Commands(), mc.CipherCommands(a.channels, a.suites...), a.users.Commands(),
		a.lan.Commands(), a.sol.Commands(), a.serial.Commands(), a.info.Commands(), a.firewall.Commands(), a.sessionCommands(),
		a.payloads.Commands(),
	}
}

// systemReset is for a reset of the VM, or the loss of its power: it ends what
// was being configured and forgets what the VM's software said of itself.
func (a *access) systemReset() error {
	return errors.Join(a.lan.Reset(), a.sol.Reset(), a.serial.Reset(), a.info.Reset())
}

// coldReset is for a reset of the controller: channels are as they are stored,
// and what was being configured ends.
func (a *access) coldReset() error {
	return errors.Join(a.channels.Reset(), a.lan.Reset(), a.sol.Reset(), a.serial.Reset())
}
