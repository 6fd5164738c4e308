package rmcp

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"sync"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Completion codes of the payload commands (IPMI 2.0 §24.1 to §24.4, §24.9).
const (
	ErrPayloadActive      ipmb.CompletionCode = 0x80 // on another session
	ErrPayloadInactive    ipmb.CompletionCode = 0x80 // of Deactivate Payload
	ErrPayloadDisabled    ipmb.CompletionCode = 0x81
	ErrPayloadLimit       ipmb.CompletionCode = 0x82
	ErrPayloadPrivate     ipmb.CompletionCode = 0x83 // not with encryption
	ErrPayloadReadable    ipmb.CompletionCode = 0x84 // not without encryption
	ErrPayloadUnknown     ipmb.CompletionCode = 0x80 // of Get Channel Payload Version
	ErrEncryptionOp       ipmb.CompletionCode = 0x80 // of Suspend/Resume Payload Encryption
	ErrEncryptionForced   ipmb.CompletionCode = 0x81
	ErrEncryptionAbsent   ipmb.CompletionCode = 0x82 // the session has none
	ErrEncryptionInactive ipmb.CompletionCode = 0x83
)

// Fields of the payload commands (IPMI 2.0 §24).
const (
	payloadRequest    = 2 + 4 // type, instance, auxiliary data
	maxInstance       = 15
	auxEncrypt        = 0x80
	authEncrypt       = 0x80 // of the parameter: encryption is forced
	payloadVersion    = 0x10
	noVLAN            = 0xFFFF
	encryptSuspend    = 0
	encryptResume     = 1
	encryptOpMask     = 0x1F
	portReserved      = 7
	payloadSizeFields = 8
)

// SOLConfig is what serial over LAN is built on.
type SOLConfig struct {
	Sessions *Sessions
	// Parameter gives a SOL configuration parameter; see [mc.SOL].
	Parameter func(number uint8) []byte
	// Allowed reports whether a user may use the payload; see [mc.Users.MayUseSOL].
	Allowed func(user uint8) bool
	// Console is the serial ports; nil: there is none. It may be set until the
	// door opens.
	Console Console
	// Instances is how many ports there are, up to 15; 0: one.
	Instances uint8
	// Port is what clients reach the door by; 0: the port of its socket.
	Port uint16
}

// SOL is serial over LAN on a channel: one payload at a time for each port.
type SOL struct {
	SOLConfig

	mu     sync.Mutex
	active map[uint8]*activeSOL // by instance; some wait for their port
	ctx    context.Context      // of the door; nil while there is none
	door   solPort
	port   uint16
	log    *slog.Logger
	group  sync.WaitGroup
}

// NewSOL makes it; a door serves it.
func NewSOL(c SOLConfig) *SOL {
	c.Instances = min(max(c.Instances, 1), maxInstance)
	return &SOL{SOLConfig: c, active: make(map[uint8]*activeSOL)}
}

// open lets payloads be activated until close.
func (s *SOL) open(ctx context.Context, d *Door) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d.serving = ctx
	s.begin(d)
	s.resume()
}

// reopen is open for a door that was left and is back where it was.
func (s *SOL) reopen(d *Door) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin(d)
}

// begin has new payloads go by a door. The caller has mu.
func (s *SOL) begin(d *Door) {
	s.ctx, s.door, s.log = d.serving, d, d.Log
	s.port = portRMCP
	if a, ok := d.socket.LocalAddr().(*net.UDPAddr); ok && a.Port != 0 {
		s.port = uint16(a.Port)
	}
	if s.Port != 0 {
		s.port = s.Port
	}
}

// close waits for what open let begin; the door's context has ended. A door
// that was moved has another one in its place, which waits for both.
func (s *SOL) close(d *Door) {
	if s == nil {
		return
	}
	s.mu.Lock()
	moved := s.door != d
	if !moved {
		s.ctx = nil
	}
	s.mu.Unlock()
	if moved {
		return
	}
	s.group.Wait()
}

// portRMCP is what a door without a UDP port of its own is reached by.
const portRMCP = 623

// of gives the payload of a session, nil if it has none.
func (s *SOL) of(one *session) *activeSOL {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.active {
		if a.session == one {
			return a
		}
	}
	return nil
}

// has reports whether a session has a payload's instance.
func (s *SOL) has(one *session, instance uint8) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.active[instance]
	return a != nil && a.session == one
}

// answered lets a payload speak whose session has its answer: a client takes
// what comes before for something else.
func (s *SOL) answered(one *session) {
	if s == nil {
		return
	}
	if a := s.of(one); a != nil {
		a.begin()
	}
}

// Commands gives the rows of payloads.
func (s *SOL) Commands() []ipmb.Command {
	row := func(name string, cmd ipmb.Cmd, effect bool, n int, ref string, do func(context.Context, *ipmb.Request) ([]byte, error)) ipmb.Command {
		return ipmb.Command{
			Name: name, NetFn: ipmb.NetFnApp, Cmd: cmd, Privilege: ipmb.PrivilegeUser, Effect: effect, Data: ipmb.Exactly(n), Ref: ref, Do: do,
		}
	}
	return []ipmb.Command{
		row("Activate Payload", 0x48, true, payloadRequest, "IPMI 2.0 §24.1", s.activate),
		row("Deactivate Payload", 0x49, true, payloadRequest, "IPMI 2.0 §24.2", s.deactivate),
		row("Get Payload Activation Status", 0x4A, false, 1, "IPMI 2.0 §24.4", s.status),
		row("Get Payload Instance Info", 0x4B, false, 2, "IPMI 2.0 §24.5", s.info),
		row("Get Channel Payload Support", 0x4E, false, 1, "IPMI 2.0 §24.8", s.support),
		row("Get Channel Payload Version", 0x4F, false, 2, "IPMI 2.0 §24.9", s.version),
		row("Suspend/Resume Payload Encryption", 0x55, true, 3, "IPMI 2.0 §24.3", s.encryption),
	}
}

// check finds the session that a request came by, and refuses what does not
// concern the payload or is not for its user.
func (s *SOL) check(req *ipmb.Request) (*session, uint8, error) {
	if PayloadType(req.Data[0]&payloadTypeMask) != PayloadSOL || req.Data[1] == 0 || req.Data[1] > maxInstance {
		return nil, 0, ipmb.ErrInvalidField
	}
	if req.Origin.Privilege < s.least() {
		return nil, 0, ipmb.ErrPrivilege
	}
	s.Sessions.mu.Lock()
	defer s.Sessions.mu.Unlock()
	if own := s.Sessions.own(req); own != nil {
		return own, own.user, nil
	}
	return nil, 0, nil
}

// least is the privilege that the payload needs.
func (s *SOL) least() ipmb.Privilege { return ipmb.Privilege(s.Parameter(mc.SOLAuth)[0] & levelMask) }

// activate opens the payload for the session that asks. That the lines are
// deasserted at first is not done: clients ask for it and wait for output.
func (s *SOL) activate(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	if s.Console == nil || s.Parameter(mc.SOLEnable)[0] == 0 {
		return nil, ErrPayloadDisabled
	}
	own, user, err := s.check(req)
	switch {
	case err != nil:
		return nil, err
	case own == nil:
		return nil, ipmb.ErrState
	case !s.Allowed(user):
		return nil, ipmb.ErrPrivilege
	case req.Data[1] > s.Instances:
		return nil, ErrPayloadLimit
	}
	if err := s.privacy(own, req.Data[2]&auxEncrypt != 0); err != nil {
		return nil, err
	}
	if err := s.start(ctx, own, req.Data[1]); err != nil {
		return nil, err
	}
	out := make([]byte, 4, 4+payloadSizeFields)
	for _, v := range []uint16{solHeadLen + solMaxData, solHeadLen + solMaxData, s.port, noVLAN} {
		out = binary.LittleEndian.AppendUint16(out, v)
	}
	if !s.keep(ctx, own, req, out) {
		s.end(own)
		return nil, ipmb.ErrNoResponse
	}
	return out, nil
}

// privacy refuses what cannot be had: all that a session says is encrypted, or
// nothing is.
func (s *SOL) privacy(own *session, encrypt bool) error {
	private, plus := own.privacy()
	forced := s.Parameter(mc.SOLAuth)[0]&authEncrypt != 0
	switch {
	case !plus:
		return ipmb.ErrState
	case encrypt && !private:
		return ErrPayloadPrivate
	case !encrypt && (private || forced):
		return ErrPayloadReadable
	}
	return nil
}

// privacy reports whether a session's packets are encrypted, and whether they
// are RMCP+'s, which alone have payloads.
func (s *session) privacy() (private, plus bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch k := s.keys.(type) {
	case *keys:
		private = true
	case *weakKeys:
		private = k.crypt != nil
	}
	return private, s.v15 == nil
}

// deactivate ends the payload, also that of another session, which is told: who may have it may take it over. It is
// configured who may (IPMI 2.0 appendix G), by the payload's privilege and for each user.
func (s *SOL) deactivate(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	own, user, err := s.check(req)
	switch {
	case err != nil:
		return nil, err
	case own != nil && !s.Allowed(user):
		return nil, ipmb.ErrPrivilege
	}
	s.mu.Lock()
	a := s.active[req.Data[1]]
	delete(s.active, req.Data[1])
	s.mu.Unlock()
	if a == nil {
		return nil, ErrPayloadInactive
	}
	if !s.keep(ctx, a.session, req, nil) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.active[a.instance] == nil {
			s.active[a.instance] = a
		}
		return nil, ipmb.ErrNoResponse
	}
	a.stop(a.session == own)
	return nil, nil
}

// status tells which instances of a payload are active.
func (s *SOL) status(_ context.Context, req *ipmb.Request) ([]byte, error) {
	if PayloadType(req.Data[0]) != PayloadSOL {
		return nil, ipmb.ErrInvalidField
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var bits uint16
	for n := range s.active {
		bits |= 1 << (n - 1)
	}
	return binary.LittleEndian.AppendUint16([]byte{s.Instances}, bits), nil
}

// info tells which session has the payload. Its port has the instance's number.
func (s *SOL) info(_ context.Context, req *ipmb.Request) ([]byte, error) {
	if PayloadType(req.Data[0]) != PayloadSOL || req.Data[1] == 0 || req.Data[1] > s.Instances {
		return nil, ipmb.ErrInvalidField
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var id uint32
	if a := s.active[req.Data[1]]; a != nil {
		id = a.session.id
	}
	out := append(binary.LittleEndian.AppendUint32(nil, id), req.Data[1])
	return append(out, make([]byte, portReserved)...), nil
}

// onChannel refuses channels that have no RMCP+ sessions.
func (s *SOL) onChannel(req *ipmb.Request) error {
	n := req.Data[0] & channelMask
	if n == ipmb.ChannelPresent {
		n = req.Origin.Channel
	}
	if n != s.Sessions.cfg.Channel {
		return ipmb.ErrInvalidField
	}
	return nil
}

// support tells which payload types a channel takes: IPMI and SOL, those of a
// login, and none of a vendor's.
func (s *SOL) support(_ context.Context, req *ipmb.Request) ([]byte, error) {
	if err := s.onChannel(req); err != nil {
		return nil, err
	}
	const logins = 1<<6 - 1 // 10h to 15h
	return []byte{1<<PayloadIPMI | 1<<PayloadSOL, 0, logins, 0, 0, 0, 0, 0}, nil
}

func (s *SOL) version(_ context.Context, req *ipmb.Request) ([]byte, error) {
	if err := s.onChannel(req); err != nil {
		return nil, err
	}
	if t := PayloadType(req.Data[1]); t > PayloadSOL && (t < PayloadOpenRequest || t > PayloadRAKP4) {
		return nil, ErrPayloadUnknown
	}
	return []byte{payloadVersion}, nil
}

// encryption is never suspended, so that there is nothing to resume. Every
// packet has an initialization vector of its own.
func (s *SOL) encryption(_ context.Context, req *ipmb.Request) ([]byte, error) {
	own, _, err := s.check(req)
	if err != nil {
		return nil, err
	}
	if own == nil || !s.has(own, req.Data[1]) {
		return nil, ErrEncryptionInactive
	}
	private, _ := own.privacy()
	switch req.Data[2] & encryptOpMask {
	case encryptResume:
		if !private {
			return nil, ErrEncryptionAbsent
		}
		return nil, nil
	case encryptSuspend:
		return nil, ErrEncryptionForced
	}
	return nil, ErrEncryptionOp
}
