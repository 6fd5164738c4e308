package port

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/midplane-project/midplane/internal/trust"
)

// recheck is how often the certificate of a connected peer is judged again.
const recheck = 2 * time.Second

// guard is the raw connection below TLS. It closes itself when the peer's
// certificate has expired or been revoked since the handshake.
type guard struct {
	net.Conn

	mu     sync.Mutex
	timer  *time.Timer
	closed bool
}

// watch begins to judge; a peer that has shown no certificate is not watched.
func (g *guard) watch(creds *trust.Credentials, cs tls.ConnectionState, log *slog.Logger) {
	if len(cs.PeerCertificates) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.timer = time.AfterFunc(recheck, func() { g.judge(creds, cs.PeerCertificates[0], log) })
	}
}

func (g *guard) judge(creds *trust.Credentials, cert *x509.Certificate, log *slog.Logger) {
	if _, err := creds.Check(cert); err != nil {
		log.Warn("connection ended", "peer", g.RemoteAddr(), "err", err)
		_ = g.Close()
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.timer.Reset(recheck)
	}
}

// Close closes the connection and ends the watch.
func (g *guard) Close() error {
	g.mu.Lock()
	g.closed = true
	if g.timer != nil {
		g.timer.Stop()
	}
	g.mu.Unlock()
	return g.Conn.Close()
}
