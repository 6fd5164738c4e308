package port

import "google.golang.org/grpc"

// Flow control windows of the bus's streams, in bytes. They are fixed, since
// gRPC otherwise measures the bandwidth with a ping for nearly every frame of
// a conversation: a third of a lone bridged request's time. Batches of frames
// have a few kilobytes.
const (
	streamWindow = 256 << 10
	connWindow   = 1 << 20
	readBuffer   = 8 << 10 // a replica has one for each node; gRPC's own are 32 KiB
)

// BusServer are the options of servers of the bus.
func BusServer() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connWindow),
		grpc.ReadBufferSize(readBuffer),
	}
}

// BusDial are the options of clients of the bus.
func BusDial() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithStaticStreamWindowSize(streamWindow), grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithReadBufferSize(readBuffer),
	}
}
