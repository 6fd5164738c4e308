// Package port carries all of a daemon's protocols over one TLS listener,
// split by ALPN, and makes the peer's verified identity known to gRPC handlers;
// it also listens on Unix sockets, where the kernel says who calls.
//
// A daemon listens once and hands each protocol's listener to its server:
//
//	p, err := port.Listen(addr, creds)
//	go raftTransport.Serve(p.Protocol(trust.ProtoRaft))
//	go grpcServer.Serve(p.Protocol(trust.ProtoBus)) // made with grpc.Creds(port.Credentials())
//	go grpcServer.Serve(p.Protocol(trust.ProtoH2))
//
// Connections do not outlive the trust in their peer: on both sides one is
// closed soon after the other side's certificate expires or is revoked.
package port
