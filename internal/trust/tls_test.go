package trust

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// shake runs one handshake over a pipe and gives both sides' errors. The
// client reads once, because TLS 1.3 tells it of a refusal only after its own
// handshake is over.
func shake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() {
		conn := tls.Server(a, server)
		err := conn.HandshakeContext(t.Context())
		if err == nil {
			_, err = conn.Write([]byte{1})
		}
		_ = a.Close()
		done <- err
	}()
	conn := tls.Client(b, client)
	clientErr = conn.HandshakeContext(t.Context())
	if clientErr == nil {
		_, clientErr = conn.Read(make([]byte, 1))
	}
	_ = b.Close()
	return <-done, clientErr
}

func TestWhoMaySpeakWhat(t *testing.T) {
	a, other := newAuthority(t, "c1"), newAuthority(t, "c1")
	server := issue(t, a, "replica/shm1", Options{})
	clients := map[string]*Credentials{"stranger": issue(t, other, "replica/shm2", Options{})}
	for _, s := range []string{"replica/shm2", "node/lab/1", "admin/ann", "operator/bob", "viewer/eve"} {
		clients[s] = issue(t, a, s, Options{})
	}
	for _, tc := range []struct {
		proto  string
		accept string // subjects; "-" is a client without a certificate
	}{
		{ProtoRaft, "replica/shm2"},
		{ProtoBus, "replica/shm2 node/lab/1"},
		{ProtoH2, "replica/shm2 node/lab/1 admin/ann operator/bob viewer/eve -"},
		{ProtoHTTP, "replica/shm2 node/lab/1 admin/ann operator/bob viewer/eve -"},
		{"new/1", "replica/shm2 node/lab/1 admin/ann operator/bob viewer/eve"},
	} {
		config := ServerTLS(server, tc.proto)
		for name, creds := range clients {
			// The stranger uses the right client configuration with its own certificate.
			client := ClientTLS(issueView(creds, server), tc.proto, Identity{Role: Replica})
			serverErr, clientErr := shake(t, config, client)
			want := contains(tc.accept, name)
			if (serverErr == nil) != want || (clientErr == nil) != want {
				t.Errorf("%s on %s: server %v, client %v; accepted should be %v", name, tc.proto, serverErr, clientErr, want)
			}
		}
		client := ClientTLS(server, tc.proto, Identity{})
		client.GetClientCertificate = nil
		if serverErr, _ := shake(t, config, client); (serverErr == nil) != contains(tc.accept, "-") {
			t.Errorf("no certificate on %s: %v", tc.proto, serverErr)
		} else if serverErr != nil && !errors.Is(serverErr, ErrNoCertificate) {
			t.Errorf("no certificate on %s: %v, want ErrNoCertificate", tc.proto, serverErr)
		}
	}
}

// issueView is creds with the roots of trusting: a client that does not mind
// the server, so that the server's judgement is what is tested.
func issueView(creds, trusting *Credentials) *Credentials {
	return &Credentials{
		files: creds.files, ca: trusting.ca, roots: trusting.roots, cluster: trusting.cluster,
		id: creds.id, log: creds.log, own: creds.own, ownStamp: creds.ownStamp,
	}
}

func contains(list, name string) bool {
	for s := range strings.FieldsSeq(list) {
		if s == name {
			return true
		}
	}
	return false
}

func TestClustersRefuseEachOther(t *testing.T) {
	for _, clusterB := range []string{"b", "a"} { // a second authority of the same ID is foreign too
		a, b := newAuthority(t, "a"), newAuthority(t, clusterB)
		serverA := issue(t, a, "replica/shm1", Options{})
		serverB := issue(t, b, "replica/shm1", Options{})
		for _, proto := range []string{ProtoRaft, ProtoBus, ProtoH2} {
			_, clientErr := shake(t, ServerTLS(serverA, proto), ClientTLS(serverB, proto, Identity{Role: Replica}))
			if !errors.Is(clientErr, ErrUntrusted) {
				t.Errorf("B's client at A's server, %s: %v, want ErrUntrusted", proto, clientErr)
			}
			serverErr, _ := shake(t, ServerTLS(serverA, proto), ClientTLS(issueView(serverB, serverA), proto, Identity{}))
			if serverErr == nil {
				t.Errorf("A's server accepted B's certificate on %s", proto)
			}
		}
	}
}

func TestClientKnowsItsServer(t *testing.T) {
	a := newAuthority(t, "c1")
	replica, node := issue(t, a, "replica/shm1", Options{}), issue(t, a, "node/lab/2", Options{})
	admin := issue(t, a, "admin/ann", Options{})
	for _, tc := range []struct {
		server *Credentials
		expect Identity
		want   error
	}{
		{replica, Identity{Role: Replica}, nil},
		{replica, Identity{Role: Replica, Name: "shm1"}, nil},
		{replica, Identity{Role: Replica, Name: "shm2"}, ErrWrongRole},
		{replica, Identity{Role: Node}, ErrWrongRole},
		{node, Identity{Role: Node, Shelf: "lab", Slot: 2}, nil},
		{node, Identity{Role: Node, Shelf: "lab", Slot: 3}, ErrWrongRole},
		{node, Identity{Role: Replica}, ErrWrongRole},
		{admin, Identity{}, ErrUntrusted}, // people's certificates do not make servers
	} {
		_, err := shake(t, ServerTLS(tc.server, ProtoH2), ClientTLS(admin, ProtoH2, tc.expect))
		if !errors.Is(err, tc.want) {
			t.Errorf("server %s, expecting %+v: %v, want %v", tc.server.Identity(), tc.expect, err, tc.want)
		}
	}
}

func TestRevocationTakesEffectWhileRunning(t *testing.T) {
	a := newAuthority(t, "c1")
	server, client := issue(t, a, "replica/shm1", Options{}), issue(t, a, "node/lab/1", Options{})
	serverTLS, clientTLS := ServerTLS(server, ProtoBus), ClientTLS(client, ProtoBus, Identity{Role: Replica})
	if err, _ := shake(t, serverTLS, clientTLS); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(a.Dir(), revokedFile)
	if err := os.WriteFile(list, []byte("{broken"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err, _ := shake(t, serverTLS, clientTLS); err != nil {
		t.Errorf("with a broken list the last good one should hold: %v", err)
	}
	if err := writeJSON(list, []Issued{}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Revoke("node/lab/1"); err != nil {
		t.Fatal(err)
	}
	serverErr, clientErr := shake(t, serverTLS, clientTLS)
	if !errors.Is(serverErr, ErrRevoked) || clientErr == nil {
		t.Errorf("revoked client: server %v, client %v", serverErr, clientErr)
	}
	if _, err := a.Revoke("replica/shm1"); err != nil {
		t.Fatal(err)
	}
	if _, err := shake(t, serverTLS, clientTLS); !errors.Is(err, ErrRevoked) {
		t.Errorf("revoked server: %v", err)
	}
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	if _, err := shake(t, serverTLS, clientTLS); !errors.Is(err, ErrRevoked) {
		t.Errorf("the list is gone and with it the revocation: %v", err)
	}
	if _, err := LoadCredentials(a.Dir(), "replica/shm1"); err == nil {
		t.Error("credentials load without the revocation list that they name")
	}
}

func TestExpiryAndRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t, "c1")
		server := issue(t, a, "replica/shm1", Options{})
		client := issue(t, a, "node/lab/1", Options{TTL: time.Hour})
		serverTLS, clientTLS := ServerTLS(server, ProtoBus), ClientTLS(client, ProtoBus, Identity{})
		if err, _ := shake(t, serverTLS, clientTLS); err != nil {
			t.Fatal(err)
		}
		leaf := client.certificate().Leaf
		time.Sleep(time.Hour + time.Second)
		if err, _ := shake(t, serverTLS, clientTLS); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("expired client: %v", err)
		}
		if _, err := server.Check(leaf); !errors.Is(err, ErrExpired) {
			t.Errorf("Check of an expired one: %v", err)
		}
		if _, err := a.Renew(client.Identity(), 0); err != nil {
			t.Fatal(err)
		}
		if err, _ := shake(t, serverTLS, clientTLS); err != nil {
			t.Errorf("the renewed certificate is not used: %v", err)
		}
	})
}

func TestReplacedByAnotherIdentity(t *testing.T) {
	a := newAuthority(t, "c1")
	c := issue(t, a, "replica/shm1", Options{})
	issue(t, a, "replica/shm2", Options{})
	for _, ext := range []string{".pem", ".key"} {
		from, to := filepath.Join(a.Dir(), "replica-shm2"+ext), filepath.Join(a.Dir(), "replica-shm1"+ext)
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	if leaf := c.certificate().Leaf; leaf.Subject.CommonName != "replica/shm1" {
		t.Errorf("a running process changed into %s", leaf.Subject.CommonName)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	a := newAuthority(t, "c1")
	server := issue(t, a, "replica/shm1", Options{})
	client := ClientTLS(server, ProtoH2, Identity{})
	client.MinVersion, client.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if err, _ := shake(t, ServerTLS(server, ProtoH2), client); err == nil {
		t.Error("TLS 1.2 was accepted")
	}
}

func TestWithIdentity(t *testing.T) {
	if _, ok := FromContext(t.Context()); ok {
		t.Error("an empty context has an identity")
	}
	want := Identity{Role: Admin, Cluster: "c1", Name: "ann"}
	if got, ok := FromContext(WithIdentity(t.Context(), want)); !ok || got != want {
		t.Errorf("FromContext = %v, %v", got, ok)
	}
	if _, ok := FromContext(WithIdentity(t.Context(), Identity{})); ok {
		t.Error("nobody has an identity")
	}
}
