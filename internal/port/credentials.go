package port

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/midplane-project/midplane/internal/trust"
)

// errWrongSide is returned by the half of TransportCredentials that is not there.
var errWrongSide = errors.New("these credentials are for the other side of a connection")

// info says what grpc shows about connections.
var info = credentials.ProtocolInfo{SecurityProtocol: "tls"}

// Credentials are for gRPC servers on the listeners of this package, whose
// connections have been made secure already. They tell handlers who calls
// (trust.FromContext): on TLS by the certificate, on a Unix socket by what the
// kernel says.
func Credentials() credentials.TransportCredentials { return serverCreds{} }

type serverCreds struct{}

func (serverCreds) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	switch c := conn.(type) {
	case *tls.Conn:
		if !c.ConnectionState().HandshakeComplete {
			return nil, nil, errors.New("the TLS handshake is not over: not a connection of this port")
		}
		id, _ := trust.PeerIdentity(c.ConnectionState())
		return conn, trust.NewAuthInfo(id), nil
	case *net.UnixConn:
		id, err := callerOf(c)
		if err != nil {
			return nil, nil, err
		}
		return conn, trust.NewAuthInfo(id), nil
	}
	return nil, nil, fmt.Errorf("a %T says nothing about its peer", conn)
}

func (serverCreds) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errWrongSide
}
func (serverCreds) Info() credentials.ProtocolInfo            { return info }
func (c serverCreds) Clone() credentials.TransportCredentials { return c }
func (serverCreds) OverrideServerName(string) error           { return nil }

// DialCredentials are for gRPC clients that speak proto with a server that
// matches expect (zero fields match anything).
func DialCredentials(creds *trust.Credentials, proto string, expect trust.Identity) credentials.TransportCredentials {
	return clientCreds{creds: creds, proto: proto, expect: expect}
}

type clientCreds struct {
	creds  *trust.Credentials
	proto  string
	expect trust.Identity
}

func (c clientCreds) ClientHandshake(ctx context.Context, _ string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, err := Client(ctx, raw, c.creds, c.proto, c.expect)
	if err != nil {
		return nil, nil, err
	}
	id, _ := trust.PeerIdentity(conn.ConnectionState())
	return conn, trust.NewAuthInfo(id), nil
}

func (clientCreds) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errWrongSide
}
func (clientCreds) Info() credentials.ProtocolInfo            { return info }
func (c clientCreds) Clone() credentials.TransportCredentials { return c }
func (clientCreds) OverrideServerName(string) error           { return nil }
