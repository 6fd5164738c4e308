package lab

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/midplane-project/midplane/deploy/lab/topology"
	"github.com/midplane-project/midplane/internal/port"
	"github.com/midplane-project/midplane/internal/trust"
)

// Endpoint is where a daemon's gRPC API can be reached.
type Endpoint struct {
	Name    string `json:"name"`    // shm1, or a node's name
	Address string `json:"address"` // HOST:PORT over TLS; empty for nodes
	Unix    string `json:"unix"`    // path of a socket for the own user
}

// ReplicaAPIs are the replicas' APIs.
func (l *Lab) ReplicaAPIs() []Endpoint {
	all := make([]Endpoint, 0, l.Topology.Replicas)
	for i := range l.Topology.Replicas {
		e := Endpoint{Name: topology.ReplicaName(i)}
		e.Unix = l.socket(e.Name, "api")
		if i < len(l.Ports) {
			e.Address = l.address(i)
		}
		all = append(all, e)
	}
	return all
}

// NodeAPI is a node's API.
func (l *Lab) NodeAPI(name string) Endpoint {
	return Endpoint{Name: name, Unix: l.socket(name, "api")}
}

// Dial makes a gRPC client over the Unix socket, where the kernel says who
// calls. Nothing is connected before the first call.
func (e Endpoint) Dial() (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("unix:"+e.Unix, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Name, err)
	}
	return conn, nil
}

// DialTLS makes a gRPC client over TLS.
func (e Endpoint) DialTLS(creds *trust.Credentials) (*grpc.ClientConn, error) {
	to := port.DialCredentials(creds, trust.ProtoH2, trust.Identity{Role: trust.Replica})
	conn, err := grpc.NewClient(e.Address, grpc.WithTransportCredentials(to))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Name, err)
	}
	return conn, nil
}

// address is where replica i listens.
func (l *Lab) address(i int) string {
	return net.JoinHostPort(l.Topology.Listen, strconv.Itoa(l.Ports[i]))
}

// socket is the path of one of a daemon's sockets.
func (l *Lab) socket(daemon, what string) string {
	return filepath.Join(l.RunDir, daemon+"."+what+".sock")
}
