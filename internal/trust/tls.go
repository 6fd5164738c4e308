package trust

import (
	"crypto/tls"
	"fmt"
	"slices"
)

// Protocols of the one port, as ALPN names.
const (
	ProtoRaft = "raft/1"   // raft between replicas
	ProtoBus  = "bus/1"    // the backplane's streams
	ProtoH2   = "h2"       // gRPC for people and programs
	ProtoHTTP = "http/1.1" // the front panel
)

// speakers says which roles may speak a protocol. A protocol in open lets
// anybody finish the handshake, because each method behind it has its own rule
// and can refuse with a clear answer; one in neither is for any member.
var (
	speakers = map[string][]Role{
		ProtoRaft: {Replica},
		ProtoBus:  {Replica, Node},
	}
	open = []string{ProtoH2, ProtoHTTP}
)

// ServerTLS configures a listener for protos. Certificates of clients are
// optional for h2 and http/1.1 and required for all else; one that is shown
// must be good, and of a role that may speak the protocol.
func ServerTLS(creds *Credentials, protos ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: protos,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return creds.certificate(), nil
		},
		ClientAuth:             tls.VerifyClientCertIfGiven,
		ClientCAs:              creds.roots,
		SessionTicketsDisabled: true,
		VerifyConnection:       func(cs tls.ConnectionState) error { return creds.admit(cs) },
	}
}

// admit decides on a client, whose chain crypto/tls has verified.
func (c *Credentials) admit(cs tls.ConnectionState) error {
	proto := cs.NegotiatedProtocol
	if len(cs.PeerCertificates) == 0 {
		if slices.Contains(open, proto) {
			return nil
		}
		return fmt.Errorf("%q: %w", proto, ErrNoCertificate)
	}
	id, err := c.Check(cs.PeerCertificates[0])
	if err != nil {
		return fmt.Errorf("%q: %w", proto, err)
	}
	if roles, limited := speakers[proto]; limited && !slices.Contains(roles, id.Role) {
		return fmt.Errorf("%q: %w: %s", proto, ErrWrongRole, id)
	}
	return nil
}

// ClientTLS configures a client that speaks proto with a server of the same
// cluster that matches expect (zero fields match anything). The server is
// known by its identity, so names and addresses are not compared.
func ClientTLS(creds *Credentials, proto string, expect Identity) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{proto},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return creds.certificate(), nil
		},
		// Turns off the check by DNS name only: VerifyConnection, which always
		// runs, verifies the chain and the identity.
		InsecureSkipVerify: true,
		VerifyConnection:   func(cs tls.ConnectionState) error { return creds.recognise(cs, proto, expect) },
	}
}

// recognise decides on a server.
func (c *Credentials) recognise(cs tls.ConnectionState, proto string, expect Identity) error {
	id, err := c.verifyServer(cs.PeerCertificates)
	if err != nil {
		return err
	}
	if !id.Matches(expect) {
		return fmt.Errorf("%w: want %s, the server is %s", ErrWrongRole, describe(expect), id)
	}
	if cs.NegotiatedProtocol != proto {
		return fmt.Errorf("%s does not speak %q", id, proto)
	}
	return nil
}

// describe names an expectation, which may be of a role alone.
func describe(want Identity) string {
	if want.Validate() == nil {
		return want.URI()
	}
	if want.Role != 0 {
		return "a " + want.Role.String()
	}
	return "another member"
}
