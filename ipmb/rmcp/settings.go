package rmcp

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/midplane-project/midplane/ipmb/mc"
)

// Settings are how one may log in at a door, as its owner chooses.
type Settings struct {
	// Suites are the cipher suites by id, the better first; empty: 17, 3.
	Suites []int `json:"suites,omitempty"`
	// Unsafe permits the suites that leave messages unsigned or readable (0, 1
	// and 2; 0 needs no password). Each start warns of them.
	Unsafe bool `json:"unsafe_suites,omitempty"`
	// V15 are the auth types of IPMI 1.5 sessions, md5 and password; empty: there
	// are no such sessions. Each start warns of them.
	V15 []string `json:"v15,omitempty"`
}

// suites are those that are built, the better first.
var suites = []mc.CipherSuite{
	{ID: 17, Auth: authSHA256, Integrity: integritySHA256, Confidentiality: confidentialityAES},
	{ID: 3, Auth: authSHA1, Integrity: integritySHA1, Confidentiality: confidentialityAES},
	{ID: 8, Auth: authMD5, Integrity: integrityMD5, Confidentiality: confidentialityAES},
	{ID: 12, Auth: authMD5, Integrity: integrityFlatMD5, Confidentiality: confidentialityAES},
	{ID: 2, Auth: authSHA1, Integrity: integritySHA1},
	{ID: 1, Auth: authSHA1},
	{ID: 0},
}

// authTypes are those of IPMI 1.5 that are built. None is not, nor MD2.
var authTypes = map[string]byte{"md5": authTypeMD5, "password": authTypePassword}

// suiteByID finds a suite that is built.
func suiteByID(id int) (mc.CipherSuite, bool) {
	i := slices.IndexFunc(suites, func(s mc.CipherSuite) bool { return int(s.ID) == id })
	if i < 0 {
		return mc.CipherSuite{}, false
	}
	return suites[i], true
}

// safe reports whether a suite signs and encrypts.
func safe(s mc.CipherSuite) bool { return s.Integrity != 0 && s.Confidentiality != 0 }

// Check finds what is not built or not permitted.
func (s Settings) Check() error {
	for i, id := range s.Suites {
		suite, ok := suiteByID(id)
		switch {
		case !ok:
			return fmt.Errorf("suites: %d is none of 17, 3, 8, 12, and 2, 1, 0", id)
		case slices.Contains(s.Suites[:i], id):
			return fmt.Errorf("suites: %d stands twice", id)
		case !safe(suite) && !s.Unsafe:
			return fmt.Errorf("suites: %d leaves messages unsigned or readable; it is to be had with unsafe_suites only", id)
		}
	}
	for _, name := range s.V15 {
		if authTypes[name] == 0 {
			return fmt.Errorf("v15: %q is neither md5 nor password", name)
		}
	}
	return nil
}

// CipherSuites are those of a door with these settings.
func (s Settings) CipherSuites() (out []mc.CipherSuite) {
	if len(s.Suites) == 0 {
		return mc.CipherSuites
	}
	for _, id := range s.Suites {
		if suite, ok := suiteByID(id); ok && (safe(suite) || s.Unsafe) {
			out = append(out, suite)
		}
	}
	return out
}

// AuthTypes is the mask of the auth types of IPMI 1.5.
func (s Settings) AuthTypes() (mask byte) {
	for _, name := range s.V15 {
		if t := authTypes[name]; t != 0 {
			mask |= 1 << t
		}
	}
	return mask
}

// Warn tells the log of what is less safe than it could be. Each start calls it.
func (s Settings) Warn(log *slog.Logger) {
	for _, suite := range s.CipherSuites() {
		switch {
		case suite.Auth == 0:
			log.Warn("LAN door: cipher suite 0 is on: whoever knows a user's name is let in without a password", "suite", suite.ID)
		case !safe(suite):
			log.Warn("LAN door: a cipher suite is on whose messages can be read, and perhaps forged", "suite", suite.ID)
		}
	}
	if s.AuthTypes() != 0 {
		log.Warn("LAN door: IPMI 1.5 sessions are on: all that they carry can be read, passwords with type password too", "types", strings.Join(s.V15, " "))
	}
}
