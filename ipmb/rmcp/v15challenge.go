package rmcp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// challenge is an IPMI 1.5 login under way.
type challenge struct {
	auth   byte
	text   [code15Len]byte
	name   string
	proven bool
}

// A client does not begin a login of IPMI 1.5 anew: ipmitool repeats its Activate
// Session and gives up. So where another process may go on, the text of a challenge
// says to it all that there is to know of the login, in one block under a key that
// all of them have, big-endian:
//
//	auth type 1 | user 1, 0 for nobody | maker 2 | session id 4 | time 4, seconds | hash of the source 4
//
// The maker itself goes by its table, and nobody takes up one twice: the store knows
// under the text's name that a session came of it, also when that is over.
const (
	challengeLabel = "midplane: challenge of IPMI 1.5"
	sourceLen      = 4
)

// challengeBlock is the cipher of challenges; nil where they are of this process
// only. The caller has mu.
func (t *Sessions) challengeBlock() (_ cipher.Block, err error) {
	if t.cfg.SharedKey == nil || t.challenges != nil {
		return t.challenges, nil
	}
	key, err := t.shared(challengeLabel)
	if err != nil {
		return nil, err
	}
	t.challenges, err = aes.NewCipher(key)
	return t.challenges, err
}

func sourceHash(source netip.Addr) [sourceLen]byte {
	addr := source.As16()
	sum := sha256.Sum256(addr[:])
	return [sourceLen]byte(sum[:])
}

// setText makes the text of a login's challenge. The caller has mu.
func (t *Sessions) setText(s *session) error {
	block, err := t.challengeBlock()
	if block == nil {
		_, _ = rand.Read(s.v15.text[:]) // does not fail
		return err
	}
	user := byte(0)
	if s.login.genuine {
		user = s.login.account.ID
	}
	b := append([]byte{s.v15.auth, user}, t.secret[:makerLen]...)
	b = binary.BigEndian.AppendUint32(b, s.id)
	b = binary.BigEndian.AppendUint32(b, uint32(s.login.begun.Unix()))
	hash := sourceHash(s.source)
	block.Encrypt(s.v15.text[:], append(b, hash[:]...))
	return nil
}

// use is the name under which a challenge is used up.
func (c *challenge) use() ipmb.Origin {
	return ipmb.Origin{Instance: string(c.text[:]), ID: requestID(c.text[:], 0), Source: ipmb.AddrShelfManager}
}

// adopt takes up the login of an Activate Session whose challenge another process
// made; nil if that cannot be. The caller has mu.
func (t *Sessions) adopt(p packet, f ipmb.Frame, from netip.AddrPort, now time.Time) *session {
	block, err := t.challengeBlock()
	if block == nil || err != nil || f.NetFn != ipmb.NetFnApp || f.Cmd != cmdActivate || len(f.Data) != activateLen {
		return nil
	}
	s := &session{id: p.ID, console: p.ID, source: from.Addr(), login: &login{begun: now, alive: now}, v15: &challenge{text: [code15Len]byte(f.Data[2:])}}
	var b [code15Len]byte
	block.Decrypt(b[:], s.v15.text[:])
	made := time.Unix(int64(binary.BigEndian.Uint32(b[8:])), 0)
	hash := sourceHash(s.source)
	if b[0] != p.auth || [makerLen]byte(b[2:]) == t.maker() || binary.BigEndian.Uint32(b[4:]) != p.ID ||
		now.Sub(made).Abs() > loginTime || [sourceLen]byte(b[12:]) != hash {
		return nil
	}
	if use := s.v15.use(); t.cfg.Store != nil && t.cfg.Store.Done(use.Instance, use.ID) {
		return nil
	}
	if !t.once(p.ID, now) {
		return nil
	}
	s.v15.auth = b[0]
	if user := b[1]; user != 0 {
		s.v15.name = t.cfg.UserName(user)
	}
	t.begin15(s)
	if !t.add(s, from) {
		clear(s.login.account.Password)
		delete(t.adopted, p.ID)
		return nil
	}
	return s
}

// begin15 gives a login of IPMI 1.5 its account and its key.
func (t *Sessions) begin15(s *session) {
	account, genuine := t.account(s.v15.name, ipmb.PrivilegeNone)
	password, fits := v15Password(account)
	s.login.account, s.login.genuine = account, genuine && fits
	s.keys = &v15Keys{auth: s.v15.auth, password: password}
}
