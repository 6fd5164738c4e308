package mc

import (
	"context"

	"github.com/midplane-project/midplane/ipmb"
)

// CipherSuite is one combination of algorithms of RMCP+ (IPMI 2.0 §22.15.2).
type CipherSuite struct{ ID, Auth, Integrity, Confidentiality uint8 }

// CipherSuites are those that are offered where nobody chose others, the better
// first.
var CipherSuites = []CipherSuite{
	{ID: 17, Auth: 3, Integrity: 4, Confidentiality: 1}, // HMAC-SHA256, HMAC-SHA256-128, AES-CBC-128
	{ID: 3, Auth: 1, Integrity: 1, Confidentiality: 1},  // HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128
}

// offered gives the suites that a channel offers.
func offered(suites []CipherSuite) []CipherSuite {
	if len(suites) == 0 {
		return CipherSuites
	}
	return suites
}

// Tags of the records of Get Channel Cipher Suites.
const (
	cipherStandard        = 0xC0
	cipherIntegrity       = 0x40
	cipherConfidentiality = 0x80
	cipherBySuite         = 0x80 // in the request: list suites, not algorithms
	cipherIndexMask       = 0x3F
	cipherChunk           = 16
	payloadTypeMask       = 0x3F
)

// appendCipherRecords lists the suites: each a tag, its id and its algorithms.
func appendCipherRecords(b []byte, list []CipherSuite) []byte {
	for _, s := range list {
		b = append(b, cipherStandard, s.ID, s.Auth, cipherIntegrity|s.Integrity, cipherConfidentiality|s.Confidentiality)
	}
	return b
}

// appendCipherAlgorithms lists each algorithm once.
func appendCipherAlgorithms(b []byte, list []CipherSuite) []byte {
	seen := make(map[byte]bool)
	for _, kind := range []func(CipherSuite) byte{
		func(s CipherSuite) byte { return s.Auth },
		func(s CipherSuite) byte { return cipherIntegrity | s.Integrity },
		func(s CipherSuite) byte { return cipherConfidentiality | s.Confidentiality },
	} {
		for _, s := range list {
			if a := kind(s); !seen[a] {
				seen[a] = true
				b = append(b, a)
			}
		}
	}
	return b
}

// CipherCommands gives Get Channel Cipher Suites, which clients send before
// they have a session. Without suites they are [CipherSuites].
func CipherCommands(channels *ChannelAccess, suites ...CipherSuite) []ipmb.Command {
	suites = offered(suites)
	return []ipmb.Command{{
		Name: "Get Channel Cipher Suites", NetFn: ipmb.NetFnApp, Cmd: 0x54, Privilege: ipmb.PrivilegeNone,
		Data: ipmb.Exactly(3), Ref: "IPMI 2.0 §22.15",
		Do: func(_ context.Context, req *ipmb.Request) ([]byte, error) {
			c, err := channels.find(req, req.Data[0])
			if payload := req.Data[1] & payloadTypeMask; err != nil || !c.Sessions || payload > PayloadSOL {
				return nil, ipmb.ErrInvalidField
			}
			list := appendCipherAlgorithms(nil, suites)
			if req.Data[2]&cipherBySuite != 0 {
				list = appendCipherRecords(nil, suites)
			}
			from := min(int(req.Data[2]&cipherIndexMask)*cipherChunk, len(list))
			to := min(from+cipherChunk, len(list))
			return append([]byte{c.Number}, list[from:to]...), nil
		},
	}}
}
