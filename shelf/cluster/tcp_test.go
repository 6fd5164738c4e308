package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/midplane-project/midplane/shelf/cluster"
)

// tcpSeeder asks replicas in this process by their TCP addresses.
type tcpSeeder struct {
	mu       sync.Mutex
	replicas map[string]*replica
}

func (s *tcpSeeder) find(addr string) (*replica, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.replicas[addr]; r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("nobody at %s", addr)
}

func (s *tcpSeeder) Status(_ context.Context, addr string) (cluster.Status, error) {
	r, err := s.find(addr)
	if err != nil {
		return cluster.Status{}, err
	}
	return r.Cluster.Status(), nil
}

func (s *tcpSeeder) Join(ctx context.Context, addr string, req cluster.JoinRequest) (cluster.JoinResponse, error) {
	r, err := s.find(addr)
	if err != nil {
		return cluster.JoinResponse{}, err
	}
	return r.HandleJoin(ctx, req)
}

func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// tcpLab runs three replicas over loopback, in real time, and waits until all
// of them vote.
func tcpLab(t testing.TB) (*lab, *tcpSeeder) {
	t.Helper()
	l := newLab(t)
	seeder := &tcpSeeder{replicas: map[string]*replica{}}
	listeners := map[string]net.Listener{}
	var seeds []string
	for _, id := range three {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[id] = ln
		seeds = append(seeds, ln.Addr().String())
	}
	for _, id := range three {
		r := l.start(id, func(cfg *cluster.Config) {
			cfg.Address = listeners[id].Addr().String()
			cfg.Seeds, cfg.Seeder = seeds, seeder
			cfg.Profile = cluster.LAN // a busy machine does not keep the lab's 50 ms
			cfg.Transport, cfg.Listener, cfg.Dial = nil, listeners[id], dialTCP
		})
		seeder.mu.Lock()
		seeder.replicas[listeners[id].Addr().String()] = r
		seeder.mu.Unlock()
	}
	t.Cleanup(l.stopAll)
	l.eventually("three voters", func() bool { return l.voters() == 3 })
	return l, seeder
}

func TestThreeReplicasOverTCP(t *testing.T) {
	l, _ := tcpLab(t)
	l.apply("a")
	l.agree("a")
	l.stop(l.leader().NodeID())
	l.apply("b")
	l.agree("a", "b")
}

// TestForeignConnectionIsClosed: whoever does not say the right hello on the
// raft port is cut off, and the cluster goes on.
func TestForeignConnectionIsClosed(t *testing.T) {
	l, _ := tcpLab(t)
	addr := l.leader().Stats().Address
	for name, first := range map[string]string{
		"another cluster": "MPR\x01\x07another\x04shm1" + "\x00",
		"not a replica":   "GET / HTTP/1.1\r\n\r\n",
	} {
		conn, err := dialTCP(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, first); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		var timeout net.Error
		if _, err := io.ReadAll(conn); errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%s: still connected", name)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	l.apply("a")
	l.agree("a")
}
