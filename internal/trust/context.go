package trust

import (
	"context"
	"crypto/tls"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// AuthInfo is what gRPC keeps about the peer of a connection.
type AuthInfo struct {
	credentials.CommonAuthInfo
	Identity Identity // zero when the peer has shown none
}

// AuthType names the mechanism, for logs.
func (AuthInfo) AuthType() string { return "midplane" }

// NewAuthInfo describes a peer on a connection that is private and unaltered:
// TLS, or a socket that does not leave the machine.
func NewAuthInfo(id Identity) AuthInfo {
	return AuthInfo{
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		Identity:       id,
	}
}

// PeerIdentity is who is at the other end of a finished handshake that
// ServerTLS or ClientTLS has verified; false when the peer showed no certificate.
func PeerIdentity(cs tls.ConnectionState) (Identity, bool) {
	if len(cs.PeerCertificates) == 0 {
		return Identity{}, false
	}
	id, err := identityOf(cs.PeerCertificates[0])
	return id, err == nil
}

// FromContext is who calls a gRPC method; false when the caller has shown no
// identity. A caller over a Unix socket has no Cluster.
func FromContext(ctx context.Context) (Identity, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Identity{}, false
	}
	info, ok := p.AuthInfo.(AuthInfo)
	return info.Identity, ok && info.Identity.Role != 0
}

// WithIdentity gives a context in which id calls, for calls within a process
// and for tests of handlers.
func WithIdentity(ctx context.Context, id Identity) context.Context {
	p := &peer.Peer{AuthInfo: NewAuthInfo(id)}
	if old, ok := peer.FromContext(ctx); ok {
		p.Addr, p.LocalAddr = old.Addr, old.LocalAddr
	}
	return peer.NewContext(ctx, p)
}
