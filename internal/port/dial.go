package port

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"

	"github.com/midplane-project/midplane/internal/trust"
)

// Dial connects to the port at addr and speaks proto with a server that
// matches expect (zero fields match anything). The connection is a *tls.Conn.
// A server that refuses this client says so only after the handshake: the
// first Read then fails.
func Dial(ctx context.Context, addr string, creds *trust.Credentials, proto string, expect trust.Identity) (net.Conn, error) {
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	conn, err := Client(ctx, raw, creds, proto, expect)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	return conn, nil
}

// Client is Dial on an open connection, which it owns: it is closed when the
// handshake fails.
func Client(ctx context.Context, raw net.Conn, creds *trust.Credentials, proto string, expect trust.Identity) (*tls.Conn, error) {
	g := &guard{Conn: raw}
	conn := tls.Client(g, trust.ClientTLS(creds, proto, expect))
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("TLS %s: %w", proto, err)
	}
	g.watch(creds, conn.ConnectionState(), slog.Default())
	return conn, nil
}
