package main

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/midplane-project/midplane/deploy/lab"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// fakeShelf is a shelf whose daemons are fakes behind the real sockets.
type fakeShelf struct {
	t        *testing.T
	home     string
	lab      *lab.Lab
	replicas map[string]*fakeReplica
	nodes    map[string]*fakeNode
	servers  map[string]*grpc.Server
}

const fakeShelfFile = `name: demo
nodes:
  - {slot: 1, name: blade1}
  - {slot: 2, name: blade2, interface: bt}
`

// newFakeShelf writes a shelf's state; no daemon runs yet.
func newFakeShelf(t *testing.T) *fakeShelf {
	t.Helper()
	home, err := os.MkdirTemp("", "mp") // short: it is part of socket paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	for name, value := range map[string]string{
		"MIDPLANE_HOME": home, "XDG_RUNTIME_DIR": home, "XDG_CACHE_HOME": home, lab.EnvShelf: "", "TZ": "UTC",
	} {
		t.Setenv(name, value)
	}
	run := filepath.Join(home, "run")
	choices, err := json.Marshal(lab.Choices{RunDir: run, Cluster: "c0ffee", ID: 1, LANPort: 623, Ports: []int{7001, 7002, 7003}})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(home, "demo", "shelf.yaml"), fakeShelfFile)
	writeFile(t, filepath.Join(home, "demo", "lab.json"), string(choices))
	if err := os.MkdirAll(run, 0o700); err != nil {
		t.Fatal(err)
	}
	s := &fakeShelf{t: t, home: home, replicas: map[string]*fakeReplica{}, nodes: map[string]*fakeNode{}, servers: map[string]*grpc.Server{}}
	if s.lab, err = lab.Open("demo"); err != nil {
		t.Fatal(err)
	}
	return s
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serve starts a daemon at its socket.
func (s *fakeShelf) serve(e lab.Endpoint, register func(*grpc.Server)) {
	s.t.Helper()
	lis, err := net.Listen("unix", e.Unix)
	if err != nil {
		s.t.Fatal(err)
	}
	server := grpc.NewServer()
	register(server)
	go server.Serve(lis)
	s.servers[e.Name] = server
	s.t.Cleanup(server.Stop)
}

// stop ends a daemon as a kill does.
func (s *fakeShelf) stop(name string) { s.servers[name].Stop() }

// replica starts a replica that follows leader.
func (s *fakeShelf) replica(name, leader string) *fakeReplica {
	s.t.Helper()
	r := &fakeReplica{name: name, leader: leader, term: 4, log: &fakeLog{}}
	s.replicas[name] = r
	for _, e := range s.lab.ReplicaAPIs() {
		if e.Name == name {
			s.serve(e, func(g *grpc.Server) {
				v1.RegisterShelfServer(g, r)
				v1.RegisterClusterServer(g, fakeCluster{fakeReplica: r})
				v1.RegisterUsersServer(g, &r.users)
			})
		}
	}
	return r
}

func (s *fakeShelf) node(name string) *fakeNode {
	s.t.Helper()
	n := newFakeNode(s.lab, name)
	s.nodes[name] = n
	s.serve(s.lab.NodeAPI(name), func(g *grpc.Server) {
		v1.RegisterNodeServer(g, n)
		v1.RegisterUsersServer(g, &n.users)
	})
	return n
}

// whole starts all daemons; the replicas share one log.
func (s *fakeShelf) whole() {
	s.t.Helper()
	log := &fakeLog{}
	for _, name := range []string{"shm1", "shm2", "shm3"} {
		s.replica(name, "shm2").log = log
	}
	for _, n := range s.lab.Topology.Nodes {
		s.node(n.Name)
	}
}

// result is what a command line did.
type result struct {
	out, err string
	code     int
}

// run runs a command line with empty standard input.
func (s *fakeShelf) run(args ...string) result { return s.feed("", args...) }

func (s *fakeShelf) feed(in string, args ...string) result {
	var out, err bytes.Buffer
	a := &app{in: strings.NewReader(in), out: &out, err: &err}
	code := a.execute(s.t.Context(), args)
	return result{s.neutral(out.String()), s.neutral(err.String()), code}
}

// neutral takes this run's own paths out of a text.
func (s *fakeShelf) neutral(text string) string { return strings.ReplaceAll(text, s.home, "HOME") }
