// Package clustertest is the network between replicas, in memory, for tests:
// it can be partitioned, and it runs in testing/synctest.
package clustertest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/midplane-project/midplane/shelf/cluster"
)

// rpcTimeout bounds one message between two replicas.
const rpcTimeout = 200 * time.Millisecond

// Network connects replicas by their addresses. It carries raft's messages and
// is the [cluster.Seeder] of each replica on it.
type Network struct {
	mu    sync.Mutex
	hosts map[string]*host
	cut   map[[2]string]bool // pairs that do not hear each other, in order
}

type host struct {
	transport *raft.InmemTransport
	replica   *cluster.Cluster // nil until Attach
}

// NewNetwork is a network without replicas.
func NewNetwork() *Network {
	return &Network{hosts: make(map[string]*host), cut: make(map[[2]string]bool)}
}

// Transport returns a new transport for the replica at addr, for
// [cluster.Config.Transport], in the place of the one that the address had.
func (n *Network) Transport(addr string) raft.Transport {
	_, t := raft.NewInmemTransportWithTimeout(raft.ServerAddress(addr), rpcTimeout)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unplug(addr)
	n.hosts[addr] = &host{transport: t}
	n.rewire()
	return t
}

// Attach makes a replica answer at addr. Call it when Open has returned.
func (n *Network) Attach(addr string, c *cluster.Cluster) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[addr].replica = c
}

// Detach takes the replica at addr off the network, as a power cut does.
func (n *Network) Detach(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unplug(addr)
}

// unplug ends every connection from and to addr.
func (n *Network) unplug(addr string) {
	if h := n.hosts[addr]; h != nil {
		h.transport.DisconnectAll()
	}
	delete(n.hosts, addr)
	for _, h := range n.hosts {
		h.transport.Disconnect(raft.ServerAddress(addr))
	}
}

// Partition cuts the network into groups; addresses that are in none are alone.
func (n *Network) Partition(groups ...[]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	group := make(map[string]int)
	for i, g := range groups {
		for _, addr := range g {
			group[addr] = i + 1
		}
	}
	clear(n.cut)
	for a := range n.hosts {
		for b := range n.hosts {
			if a != b && (group[a] == 0 || group[a] != group[b]) {
				n.cut[[2]string{a, b}] = true
			}
		}
	}
	n.rewire()
}

// Heal ends all partitions.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cut)
	n.rewire()
}

// rewire makes raft's connections agree with hosts and cut.
func (n *Network) rewire() {
	for a, from := range n.hosts {
		for b, to := range n.hosts {
			switch {
			case a == b:
			case n.cut[[2]string{a, b}]:
				from.transport.Disconnect(raft.ServerAddress(b))
			default:
				from.transport.Connect(raft.ServerAddress(b), to.transport)
			}
		}
	}
}

// Seeder is the view of the network that the replica at addr has.
func (n *Network) Seeder(addr string) cluster.Seeder { return seeder{n, addr} }

type seeder struct {
	net  *Network
	from string
}

// reach finds the replica at addr, if the network lets it be heard.
func (s seeder) reach(addr string) (*cluster.Cluster, error) {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	h := s.net.hosts[addr]
	if h == nil || h.replica == nil || s.net.cut[[2]string{s.from, addr}] {
		return nil, fmt.Errorf("clustertest: nobody answers at %s", addr)
	}
	return h.replica, nil
}

func (s seeder) Status(_ context.Context, addr string) (cluster.Status, error) {
	c, err := s.reach(addr)
	if err != nil {
		return cluster.Status{}, err
	}
	return c.Status(), nil
}

func (s seeder) Join(ctx context.Context, addr string, req cluster.JoinRequest) (cluster.JoinResponse, error) {
	c, err := s.reach(addr)
	if err != nil {
		return cluster.JoinResponse{}, err
	}
	return c.HandleJoin(ctx, req)
}
