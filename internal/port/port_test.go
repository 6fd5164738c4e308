package port

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/internal/trust"
)

// greet serves l: each connection is told the name of l and closed.
func greet(t *testing.T, l net.Listener, name string) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, name)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
}

func ask(t *testing.T, p *Port, creds *trust.Credentials, proto string) (string, error) {
	t.Helper()
	conn, err := Dial(t.Context(), p.Addr().String(), creds, proto, trust.Identity{Role: trust.Replica})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	got, err := io.ReadAll(conn)
	return string(got), err
}

func TestProtocolsAreSplit(t *testing.T) {
	_, creds := cluster(t, "c1", "replica/shm1", "replica/shm2", "node/lab/1", "admin/ann")
	p := listen(t, creds["replica/shm1"])
	protos := []string{trust.ProtoRaft, trust.ProtoBus, trust.ProtoH2}
	for _, proto := range protos {
		if l := p.Protocol(proto); l != p.Protocol(proto) || l.Addr() != p.Addr() {
			t.Errorf("%s: not the same listener twice", proto)
		}
		greet(t, p.Protocol(proto), proto)
	}
	allowed := map[string][]string{
		"replica/shm2": protos,
		"node/lab/1":   protos[1:],
		"admin/ann":    protos[2:],
	}
	for subject, may := range allowed {
		for _, proto := range protos {
			got, err := ask(t, p, creds[subject], proto)
			want := strings.Contains(strings.Join(may, " "), proto)
			if want && (got != proto || err != nil) || !want && err == nil {
				t.Errorf("%s on %s: %q, %v; allowed should be %v", subject, proto, got, err, want)
			}
		}
	}
}

func TestForeignRevokedAndBareClients(t *testing.T) {
	a, creds := cluster(t, "a", "replica/shm1", "replica/shm2")
	_, foreign := cluster(t, "b", "replica/shm2")
	p := listen(t, creds["replica/shm1"])
	for _, proto := range []string{trust.ProtoRaft, trust.ProtoBus, trust.ProtoH2} {
		greet(t, p.Protocol(proto), proto)
		if _, err := ask(t, p, foreign["replica/shm2"], proto); !errors.Is(err, trust.ErrUntrusted) {
			t.Errorf("another cluster's client on %s: %v", proto, err)
		}
		bare := trust.ClientTLS(creds["replica/shm2"], proto, trust.Identity{})
		bare.GetClientCertificate = nil
		if _, err := rawAsk(p, bare); (err == nil) != (proto == trust.ProtoH2) {
			t.Errorf("no certificate on %s: %v", proto, err)
		}
		// A client that does not judge the server shows what the server thinks of it.
		forced := trust.ClientTLS(foreign["replica/shm2"], proto, trust.Identity{})
		forced.VerifyConnection = nil
		if _, err := rawAsk(p, forced); err == nil {
			t.Errorf("another cluster's certificate was accepted on %s", proto)
		}
	}
	if _, err := a.Revoke("replica/shm2"); err != nil {
		t.Fatal(err)
	}
	for _, proto := range []string{trust.ProtoRaft, trust.ProtoBus, trust.ProtoH2} {
		if _, err := ask(t, p, creds["replica/shm2"], proto); err == nil {
			t.Errorf("a revoked certificate was accepted on %s", proto)
		}
	}
}

func rawAsk(p *Port, config *tls.Config) (string, error) {
	conn, err := tls.Dial("tcp", p.Addr().String(), config)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	got, err := io.ReadAll(conn)
	return string(got), err
}

func TestUnknownProtocolIsLogged(t *testing.T) {
	_, creds := cluster(t, "c1", "replica/shm1", "replica/shm2")
	log := make(lines, 1)
	p := listen(t, creds["replica/shm1"], WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	greet(t, p.Protocol(trust.ProtoH2), "h2")
	for _, proto := range []string{"", "raft/1", "smtp"} {
		config := trust.ClientTLS(creds["replica/shm2"], proto, trust.Identity{})
		config.VerifyConnection = nil
		if proto == "" {
			config.NextProtos = nil
		}
		if got, err := rawAsk(p, config); got != "" {
			t.Errorf("%q was answered %q, %v", proto, got, err)
		}
		if line := <-log; !strings.Contains(line, "connection refused") || !strings.Contains(line, proto) {
			t.Errorf("%q was logged as %s", proto, line)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Protocol(trust.ProtoH2).Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept on a closed port: %v", err)
	}
}

// lines is a log whose lines a test waits for.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

func TestClosedProtocolLeavesTheOthers(t *testing.T) {
	_, creds := cluster(t, "c1", "replica/shm1", "replica/shm2")
	p := listen(t, creds["replica/shm1"])
	greet(t, p.Protocol(trust.ProtoRaft), "raft")
	bus := p.Protocol(trust.ProtoBus)
	if err := bus.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t, p, creds["replica/shm2"], trust.ProtoBus); err == nil {
		t.Error("a closed protocol was answered")
	}
	if got, err := ask(t, p, creds["replica/shm2"], trust.ProtoRaft); got != "raft" || err != nil {
		t.Errorf("raft after bus was closed: %q, %v", got, err)
	}
	greet(t, p.Protocol(trust.ProtoBus), "bus again")
	if got, err := ask(t, p, creds["replica/shm2"], trust.ProtoBus); got != "bus again" || err != nil {
		t.Errorf("bus opened again: %q, %v", got, err)
	}
}

func TestFullBacklogRefuses(t *testing.T) {
	_, creds := cluster(t, "c1", "replica/shm1", "replica/shm2")
	p := listen(t, creds["replica/shm1"], func(p *Port) { p.limits.backlog = 1 })
	p.Protocol(trust.ProtoBus) // and nobody accepts
	var open []net.Conn
	for range 3 {
		conn, err := Dial(t.Context(), p.Addr().String(), creds["replica/shm2"], trust.ProtoBus, trust.Identity{})
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	// One waits in the backlog for ever; each of the others reads its end.
	ended := make(chan struct{}, len(open))
	for _, conn := range open {
		go func() { _, _ = conn.Read(make([]byte, 1)); ended <- struct{}{} }()
	}
	<-ended
	<-ended
	if len(ended) != 0 {
		t.Error("all were refused, want one in the backlog")
	}
	for _, conn := range open {
		_ = conn.Close()
	}
	<-ended
}

// memory is a listener whose connections are pipes, for virtual time.
type memory struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newMemory() *memory { return &memory{conns: make(chan net.Conn), done: make(chan struct{})} }

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

func (m *memory) dial() net.Conn {
	a, b := net.Pipe()
	m.conns <- a
	return b
}

func (m *memory) Close() error   { m.once.Do(func() { close(m.done) }); return nil }
func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// within runs f in virtual time with a port over memory.
func within(t *testing.T, opts []Option, f func(t *testing.T, a *trust.Authority, m *memory, p *Port)) {
	synctest.Test(t, func(t *testing.T) {
		a, creds := cluster(t, "c1", "replica/shm1")
		m := newMemory()
		p := New(m, creds["replica/shm1"], append([]Option{quiet}, opts...)...)
		f(t, a, m, p)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestSilentClientIsClosed(t *testing.T) {
	within(t, nil, func(t *testing.T, _ *trust.Authority, m *memory, _ *Port) {
		conn := m.dial()
		start := time.Now()
		if _, err := conn.Read(make([]byte, 1)); err == nil || time.Since(start) != defaultLimits.handshake {
			t.Errorf("closed after %s with %v, want %s", time.Since(start), err, defaultLimits.handshake)
		}
	})
}

func TestSilentClientsDoNotKeepOthersOut(t *testing.T) {
	opts := []Option{WithHandshakes(time.Hour, 4)}
	within(t, opts, func(t *testing.T, a *trust.Authority, m *memory, p *Port) {
		client := issue(t, a, "node/lab/1", trust.Options{})
		greet(t, p.Protocol(trust.ProtoBus), "bus")
		var idle []net.Conn
		for range 4 {
			idle = append(idle, m.dial())
		}
		synctest.Wait()
		start := time.Now()
		for range 4 { // each takes the place of one more silent client at most
			conn, err := Client(t.Context(), m.dial(), client, trust.ProtoBus, trust.Identity{})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(conn); string(got) != "bus" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			_ = conn.Close()
		}
		if waited := time.Since(start); waited > 4*defaultLimits.patience {
			t.Errorf("waited %s", waited)
		}
		for _, c := range idle {
			_ = c.Close()
		}
	})
}

func TestCloseEndsHandshakesAndBacklog(t *testing.T) {
	within(t, []Option{WithHandshakes(time.Hour, 2)}, func(t *testing.T, a *trust.Authority, m *memory, p *Port) {
		client := issue(t, a, "node/lab/1", trust.Options{})
		p.Protocol(trust.ProtoBus)
		queued, err := Client(t.Context(), m.dial(), client, trust.ProtoBus, trust.Identity{})
		if err != nil {
			t.Fatal(err)
		}
		silent := []net.Conn{m.dial(), m.dial(), m.dial()}
		start := time.Now()
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		for _, conn := range append(silent, queued) {
			if _, err := conn.Read(make([]byte, 1)); err == nil {
				t.Error("a connection survived Close")
			}
			_ = conn.Close()
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("Close waited %s", d)
		}
	})
}

// Bytes that are no TLS harm nothing but their own connection.
func TestGarbage(t *testing.T) {
	_, creds := cluster(t, "c1", "replica/shm1", "replica/shm2")
	p := listen(t, creds["replica/shm1"])
	greet(t, p.Protocol(trust.ProtoBus), "bus")
	for _, data := range []string{"", "GET / HTTP/1.0\r\n\r\n", "\x16\x03\x01\xff\xff", "\x16\x03\x01\x00\x04\x01\xff\xff\xff", strings.Repeat("\x00", 1<<16)} {
		conn, err := net.Dial("tcp", p.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, data)
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, conn) // until the port hangs up
		_ = conn.Close()
	}
	if got, err := ask(t, p, creds["replica/shm2"], trust.ProtoBus); got != "bus" || err != nil {
		t.Errorf("after garbage: %q, %v", got, err)
	}
}

// A connection ends when the trust in either side does.
func TestConnectionEndsWithItsTrust(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(a *trust.Authority) error
		want time.Duration // to the end, at most
	}{
		{"client expires", func(*trust.Authority) error { return nil }, time.Hour + recheck},
		{"client revoked", func(a *trust.Authority) error { _, err := a.Revoke("node/lab/1"); return err }, recheck},
		{"server revoked", func(a *trust.Authority) error { _, err := a.Revoke("replica/shm1"); return err }, recheck},
	} {
		t.Run(tc.name, func(t *testing.T) {
			within(t, nil, func(t *testing.T, a *trust.Authority, m *memory, p *Port) {
				client := issue(t, a, "node/lab/1", trust.Options{TTL: time.Hour})
				l := p.Protocol(trust.ProtoBus)
				conn, err := Client(t.Context(), m.dial(), client, trust.ProtoBus, trust.Identity{})
				if err != nil {
					t.Fatal(err)
				}
				served, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if err := tc.end(a); err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Read(make([]byte, 1)); err == nil || time.Since(start) > tc.want {
					t.Errorf("ended after %s with %v, want at most %s", time.Since(start), err, tc.want)
				}
				_, _ = conn.Close(), served.Close()
			})
		})
	}
}

func TestDialErrors(t *testing.T) {
	_, creds := cluster(t, "c1", "replica/shm1", "replica/shm2")
	p := listen(t, creds["replica/shm1"])
	greet(t, p.Protocol(trust.ProtoBus), "bus")
	addr := p.Addr().String()
	if _, err := Dial(t.Context(), addr, creds["replica/shm2"], trust.ProtoBus, trust.Identity{Role: trust.Node}); !errors.Is(err, trust.ErrWrongRole) {
		t.Errorf("expecting a node: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, addr, creds["replica/shm2"], trust.ProtoBus, trust.Identity{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Listen(addr, creds["replica/shm1"]); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("a taken port: %v", err)
	}
}
