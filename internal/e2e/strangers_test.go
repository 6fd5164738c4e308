//go:build e2e

package e2e_test

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/internal/trust"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// bare is a shelf without VMs, for tests of the daemons alone. Its slot 1 has
// the address of blade1 in the other shelf.
var bare = &fixture{name: "n", yaml: `
nodes:
  - {slot: 1, name: fore, qemu: none}
  - {slot: 5, name: rear, qemu: none}
`}

// TestStrangers has two shelves with equal addresses on one machine: neither
// sees the other.
func TestStrangers(t *testing.T) {
	s, other := blades.up(t), bare.up(t)
	other.do(t, "raw", "rear", "6", "1")
	fails(t, int(problem.NotFound), []string{"0x8a"}, "--shelf", s.Name, "raw", "0x8a", "6", "1")
	fails(t, int(problem.NotFound), []string{"0x84"}, "--shelf", other.Name, "raw", "0x84", "6", "1")
	s.expect(t, "blade1", []says{{"midplane-guest send --target 0x8a 6 1", 1, `^cc d3:`}})
	if a, b := s.do(t, "raw", "0x82", "6", "8"), other.do(t, "raw", "0x82", "6", "8"); a == b {
		t.Errorf("0x82 of both shelves has the GUID %s", a)
	}
	const tag = "0x09090909"
	before := s.lastID(t)
	other.do(t, "raw", "shelf", "0x0a", "0x44", "0", "0", "0xe0", "0x4d", "0x50", "9", "9", "9", "9", "0", "0", "0", "1", "0", "0", "0")
	for _, e := range s.log(t, before) {
		if got, _, ok := oem(e.Record); ok && got == tag {
			t.Errorf("an event of one shelf is in the log of the other: %v", e)
		}
	}
}

// TestForeignCertificates offers every certificate of one shelf, and none, to
// the replicas of another, in each protocol.
func TestForeignCertificates(t *testing.T) {
	s, other := blades.up(t), bare.up(t)
	addr := s.ReplicaAPIs()[0].Address
	const replica, admin, none = "replica/shm1", "admin/lab", ""
	for _, tt := range []struct {
		proto, pki, subject string
		let                 bool
	}{
		{trust.ProtoRaft, s.PKIDir(), "replica/shm2", true},
		{trust.ProtoBus, s.PKIDir(), "node/b/1", true},
		{trust.ProtoH2, s.PKIDir(), admin, true},
		{trust.ProtoRaft, other.PKIDir(), replica, false},
		{trust.ProtoBus, other.PKIDir(), replica, false},
		{trust.ProtoBus, other.PKIDir(), "node/n/1", false},
		{trust.ProtoH2, other.PKIDir(), admin, false},
		{trust.ProtoRaft, s.PKIDir(), "node/b/1", false}, // of this shelf, in a role that may not
		{trust.ProtoRaft, s.PKIDir(), admin, false},
		{trust.ProtoBus, s.PKIDir(), admin, false},
		{trust.ProtoRaft, "", none, false},
		{trust.ProtoBus, "", none, false},
		{"smtp", s.PKIDir(), admin, false},
	} {
		err := visit(t, addr, tt.proto, tt.pki, tt.subject, tt.let)
		if let := err == nil; let != tt.let {
			t.Errorf("%s of %s for %s: let in: %v, want %v (%v)", tt.subject, tt.pki, tt.proto, let, tt.let, err)
		}
	}
	s.healthy(t)
}

// visit connects with a certificate, wanted or not, and without looking at the
// server's. It is nil unless the server refuses by a TLS alert, which it may do
// after the client's part of the handshake is done. Whoever is to be let in is, if no
// alert comes for a while.
func visit(t *testing.T, addr, proto, pki, subject string, let bool) error {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{proto}, MinVersion: tls.VersionTLS13}
	if subject != "" {
		files, err := trust.FilesIn(pki, subject)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		if err != nil {
			t.Fatal(err)
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	}
	wait := patience
	if let {
		wait = 3 * time.Second
	}
	refused := func(err error) bool {
		var alert *net.OpError
		return errors.As(err, &alert) && alert.Op == "remote error"
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", addr, config)
	if err != nil {
		if !refused(err) {
			t.Fatalf("%s of %s for %s: %v", subject, pki, proto, err)
		}
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	if _, err = conn.Read(make([]byte, 1)); refused(err) {
		return err
	}
	return nil // a server waits for us, or hangs up when it has waited long enough
}

// TestAnonymousMayAskNothing connects without a certificate where that is let
// in, because each method refuses for itself.
func TestAnonymousMayAskNothing(t *testing.T) {
	s := bare.up(t)
	anybody := credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
	conn, err := grpc.NewClient(s.ReplicaAPIs()[0].Address, grpc.WithTransportCredentials(anybody))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, raw := v1.NewShelfClient(conn).Raw(t.Context(), &v1.RawRequest{Shelf: s.Name, Address: 0x20, NetFn: 6, Command: 1})
	_, slots := v1.NewShelfClient(conn).ListSlots(t.Context(), &v1.ListSlotsRequest{Shelf: s.Name})
	_, transfer := v1.NewClusterClient(conn).TransferLeadership(t.Context(), &v1.TransferLeadershipRequest{})
	for what, err := range map[string]error{"Raw": raw, "ListSlots": slots, "TransferLeadership": transfer} {
		if c := status.Code(err); c != codes.Unauthenticated && c != codes.PermissionDenied {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestUnknown asks for what is not there.
func TestUnknown(t *testing.T) {
	s := bare.up(t)
	for _, tt := range []struct {
		args string
		code problem.Code
		says string
	}{
		{"--shelf nowhere ps", problem.NotFound, `no shelf "nowhere"`},
		{"--shelf n raw 3 6 1", problem.NotFound, "0x86"},
		{"--shelf n raw nobody 6 1", problem.NotFound, "there are: shelf, fore"},
		{"--shelf n raw 99 6 1", problem.Usage, "slots go from 1"},
		{"--shelf n raw fore 7 1", problem.Usage, "0x07"},
		{"--shelf n raw fore 6 0x100", problem.Usage, "0x100"},
		{"--shelf n exec 7 -- true", 125, "no node"},
		{"--shelf n exec fore -- true", 125, ""},
		{"--shelf n kill shm9", problem.NotFound, "shm9"},
		{"--shelf n kill vm/fore", problem.Refused, "not started by its node"},
		{"--shelf n wait fore --for sunshine", problem.Usage, "sunshine"},
		{"--shelf n wait shelf --for power=on", problem.Usage, "name a node"},
	} {
		fails(t, int(tt.code), []string{tt.says}, strings.Fields(tt.args)...)
	}
	s.healthy(t)
}
