package link

import v1 "github.com/midplane-project/midplane/proto/midplane/v1"

// Stream is what both ends of a gRPC stream have in common.
type Stream[Out, In any] interface {
	Send(*Out) error
	Recv() (*In, error)
}

// ReadyStream is a stream that can tell whether it takes a message without
// waiting. Who has one for it then need not wake the link's writer.
type ReadyStream[Out any] interface {
	TrySend(*Out) bool
}

// Dialect wraps what every stream carries in the message types of one of them.
type Dialect[Out, In any] struct {
	Batch       func(*v1.Batch) *Out
	Heartbeat   func(*v1.Heartbeat) *Out
	HeartbeatOf func(*In) *v1.Heartbeat // nil when the message is none
}

// Dialects of the two services, by who speaks.
var (
	Node = Dialect[v1.AttachRequest, v1.AttachResponse]{
		Batch: func(b *v1.Batch) *v1.AttachRequest {
			return &v1.AttachRequest{Kind: &v1.AttachRequest_Batch{Batch: b}}
		},
		Heartbeat: func(h *v1.Heartbeat) *v1.AttachRequest {
			return &v1.AttachRequest{Kind: &v1.AttachRequest_Heartbeat{Heartbeat: h}}
		},
		HeartbeatOf: (*v1.AttachResponse).GetHeartbeat,
	}
	Replica = Dialect[v1.AttachResponse, v1.AttachRequest]{
		Batch: func(b *v1.Batch) *v1.AttachResponse {
			return &v1.AttachResponse{Kind: &v1.AttachResponse_Batch{Batch: b}}
		},
		Heartbeat: func(h *v1.Heartbeat) *v1.AttachResponse {
			return &v1.AttachResponse{Kind: &v1.AttachResponse_Heartbeat{Heartbeat: h}}
		},
		HeartbeatOf: (*v1.AttachRequest).GetHeartbeat,
	}
	RelayCaller = Dialect[v1.RelayRequest, v1.RelayResponse]{
		Batch: func(b *v1.Batch) *v1.RelayRequest {
			return &v1.RelayRequest{Kind: &v1.RelayRequest_Batch{Batch: b}}
		},
		Heartbeat: func(h *v1.Heartbeat) *v1.RelayRequest {
			return &v1.RelayRequest{Kind: &v1.RelayRequest_Heartbeat{Heartbeat: h}}
		},
		HeartbeatOf: (*v1.RelayResponse).GetHeartbeat,
	}
	RelayCalled = Dialect[v1.RelayResponse, v1.RelayRequest]{
		Batch: func(b *v1.Batch) *v1.RelayResponse {
			return &v1.RelayResponse{Kind: &v1.RelayResponse_Batch{Batch: b}}
		},
		Heartbeat: func(h *v1.Heartbeat) *v1.RelayResponse {
			return &v1.RelayResponse{Kind: &v1.RelayResponse_Heartbeat{Heartbeat: h}}
		},
		HeartbeatOf: (*v1.RelayRequest).GetHeartbeat,
	}
)
