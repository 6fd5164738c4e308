package mc

import (
	"context"
	"fmt"
	"sync"

	"github.com/midplane-project/midplane/ipmb"
)

// Completion codes of Set and Get Channel Access (IPMI 2.0 §22.22, §22.23).
const (
	ErrSessionless ipmb.CompletionCode = 0x82 // not supported on a session-less channel
	ErrAccessMode  ipmb.CompletionCode = 0x83 // access mode not supported
)

// AccessMode says when a channel takes IPMI messages (IPMI 2.0 §6.6).
type AccessMode uint8

// Access modes.
const (
	AccessDisabled AccessMode = 0
	AccessPreBoot  AccessMode = 1
	AccessAlways   AccessMode = 2
	AccessShared   AccessMode = 3
)

// Bits and fields of Set and Get Channel Access.
const (
	accessModeMask   = 0x07
	accessFlagsMask  = 0x3F // mode, user and message authentication, alerting
	accessKindShift  = 6
	accessKeep       = 0
	accessNV         = 1
	accessActive     = 2
	alertingDisabled = 0x20
	limitMask        = 0x0F
)

// ChannelSetting is how a channel with sessions may be used.
type ChannelSetting struct {
	Flags byte // as Get Channel Access has them: mode, authentication, alerting
	Limit ipmb.Privilege
}

// Mode says when the channel takes messages.
func (s ChannelSetting) Mode() AccessMode { return AccessMode(s.Flags & accessModeMask) }

// channelSettings are the stored setting, with which a controller begins, and
// the one that holds.
type channelSettings struct{ stored, active ChannelSetting }

// defaultChannel is a channel that nobody has opened yet, defaultSerial one
// that whoever configured its port has.
var (
	defaultChannel = ChannelSetting{Flags: alertingDisabled | byte(AccessDisabled), Limit: ipmb.PrivilegeAdmin}
	defaultSerial  = ChannelSetting{Flags: alertingDisabled | byte(AccessAlways), Limit: ipmb.PrivilegeAdmin}
)

func (c Channel) defaultSetting() ChannelSetting {
	if c.Medium == MediumSerial {
		return defaultSerial
	}
	return defaultChannel
}

// ChannelAccess keeps the settings of the channels that have sessions.
type ChannelAccess struct {
	Channels
	// Changed, if set, is told of a channel whose active setting changed. It is
	// to be set before the first request.
	Changed func(channel uint8)

	records Records
	mu      sync.Mutex
	set     map[uint8]channelSettings
}

// OpenChannelAccess reads the settings of the channels with sessions.
func OpenChannelAccess(channels Channels, r Records) (*ChannelAccess, error) {
	a := &ChannelAccess{Channels: channels, records: r, set: make(map[uint8]channelSettings)}
	for _, c := range channels {
		if !c.Sessions {
			continue
		}
		v, err := r.Get(channelRecord(c.Number))
		if err != nil {
			return nil, err
		}
		s := channelSettings{stored: c.defaultSetting(), active: c.defaultSetting()}
		if v != nil {
			if s, err = parseChannelSettings(v); err != nil {
				return nil, fmt.Errorf("channel %d: %w", c.Number, err)
			}
		}
		a.set[c.Number] = s
	}
	return a, nil
}

func channelRecord(n uint8) string { return fmt.Sprintf("channel/%d", n) }

func (s channelSettings) encode() []byte {
	return []byte{s.stored.Flags, byte(s.stored.Limit), s.active.Flags, byte(s.active.Limit)}
}

func parseChannelSettings(v []byte) (s channelSettings, err error) {
	if len(v) != len(s.encode()) {
		return s, fmt.Errorf("access record has %d bytes, want %d", len(v), len(s.encode()))
	}
	return channelSettings{
		stored: ChannelSetting{v[0], ipmb.Privilege(v[1])}, active: ChannelSetting{v[2], ipmb.Privilege(v[3])},
	}, nil
}

// Active is the setting of a channel that holds; ok is false for a channel
// without sessions.
func (a *ChannelAccess) Active(n uint8) (s ChannelSetting, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	both, ok := a.set[n]
	return both.active, ok
}

// Reset makes the stored settings the active ones, as a reset of the
// controller does.
func (a *ChannelAccess) Reset() error {
	for _, c := range a.Channels {
		if !c.Sessions {
			continue
		}
		if err := a.change(c.Number, func(s *channelSettings) { s.active = s.stored }); err != nil {
			return err
		}
	}
	return nil
}

// withSessions resolves the channel of a request to one that has sessions.
func (a *ChannelAccess) withSessions(req *ipmb.Request, n uint8) (uint8, error) {
	c, err := a.find(req, n)
	if err == nil && !c.Sessions {
		err = ErrSessionless
	}
	return c.Number, err
}

// change stores a changed setting and tells of it.
func (a *ChannelAccess) change(n uint8, f func(*channelSettings)) error {
	changed, err := a.store(n, f)
	if err == nil && changed && a.Changed != nil {
		a.Changed(n)
	}
	return err
}

func (a *ChannelAccess) store(n uint8, f func(*channelSettings)) (changed bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.set[n]
	s := before
	if f(&s); s == before {
		return false, nil
	}
	if err := a.records.Put(channelRecord(n), s.encode()); err != nil {
		return false, err
	}
	a.set[n] = s
	return s.active != before.active, nil
}

// Commands gives Get Channel Info, Set and Get Channel Access.
func (a *ChannelAccess) Commands() []ipmb.Command {
	return []ipmb.Command{
		a.infoCommand(),
		getAccessCommand(a.get),
		{
			Name: "Set Channel Access", NetFn: ipmb.NetFnApp, Cmd: 0x40, Privilege: ipmb.PrivilegeAdmin,
			Data: ipmb.Exactly(3), Effect: true, Ref: "IPMI 2.0 §22.22", Do: a.setAccess,
		},
	}
}

func getAccessCommand(do func(context.Context, *ipmb.Request) ([]byte, error)) ipmb.Command {
	return ipmb.Command{
		Name: "Get Channel Access", NetFn: ipmb.NetFnApp, Cmd: 0x41, Privilege: ipmb.PrivilegeUser,
		Data: ipmb.Exactly(2), Ref: "IPMI 2.0 §22.23", Do: do,
	}
}

func (a *ChannelAccess) get(_ context.Context, req *ipmb.Request) ([]byte, error) {
	n, err := a.withSessions(req, req.Data[0])
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.set[n]
	switch req.Data[1] >> accessKindShift {
	case accessNV:
		return []byte{s.stored.Flags, byte(s.stored.Limit)}, nil
	case accessActive:
		return []byte{s.active.Flags, byte(s.active.Limit)}, nil
	}
	return nil, ipmb.ErrInvalidField
}

func (a *ChannelAccess) setAccess(_ context.Context, req *ipmb.Request) ([]byte, error) {
	n, err := a.withSessions(req, req.Data[0])
	if err != nil {
		return nil, err
	}
	flags, limit := req.Data[1]&accessFlagsMask, ipmb.Privilege(req.Data[2]&limitMask)
	flagsTo, limitTo := req.Data[1]>>accessKindShift, req.Data[2]>>accessKindShift
	if flagsTo > accessActive || limitTo > accessActive {
		return nil, ipmb.ErrInvalidField
	}
	if limitTo != accessKeep && (limit == ipmb.PrivilegeNone || limit > ipmb.PrivilegeOEM) {
		return nil, ipmb.ErrInvalidField
	}
	if flagsTo != accessKeep {
		if err := checkMode(AccessMode(flags & accessModeMask)); err != nil {
			return nil, err
		}
	}
	return nil, a.change(n, func(s *channelSettings) {
		if to := s.of(flagsTo); to != nil {
			to.Flags = flags
		}
		if to := s.of(limitTo); to != nil {
			to.Limit = limit
		}
	})
}

// of gives the setting that a field is meant for, nil for none.
func (s *channelSettings) of(kind byte) *ChannelSetting {
	switch kind {
	case accessNV:
		return &s.stored
	case accessActive:
		return &s.active
	}
	return nil
}

// checkMode permits what a LAN channel can do: it is not shared with the
// system as a serial port is, and knows nothing of the boot.
func checkMode(m AccessMode) error {
	switch m {
	case AccessDisabled, AccessAlways:
		return nil
	case AccessPreBoot, AccessShared:
		return ErrAccessMode
	}
	return ipmb.ErrInvalidField
}
