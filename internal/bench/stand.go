package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/internal/trust"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/shelf"
)

const shelfName = "bench"

// order says what a stand consists of.
type order struct {
	place    place
	replicas int
	nodes    int
	compact  bool // all of it in one process
	lan      bool // each node has a LAN door
	env      []string
	spare    int                                  // certificates for slots after the nodes'
	vm       func(s *stand, slot int) *power.Spec // nil, or gives nil: the slot's guest is fake
}

// stand is a shelf for measurements: replicas and nodes as processes of their
// own that talk TLS over loopback, each node with a Unix socket for its guest.
type stand struct {
	b        *bench
	order    order
	dir      string
	cluster  string
	pki      *trust.Authority
	replicas []*daemon
	nodes    []*daemon
	whole    *process // the one process, when compact
}

// daemon is one replica or node of a stand.
type daemon struct {
	*process
	config string // file
	api    string // unix:PATH
	vm     string // where a node's guest connects
	addr   string // where a replica listens
	lan    string // where a node's LAN door does
}

// stand writes certificates and configurations and starts everything.
func (b *bench) stand(ctx context.Context, o order) (s *stand, err error) {
	dir, err := os.MkdirTemp(b.dir, "s")
	if err != nil {
		return nil, err
	}
	s = &stand{b: b, order: o, dir: dir, cluster: uuid.NewString()}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.pki, err = trust.NewAuthority(s.path("pki"), s.cluster); err != nil {
		return nil, err
	}
	if err := s.lay(); err != nil {
		return nil, err
	}
	if err := s.start(); err != nil {
		return nil, err
	}
	return s, s.settled(ctx)
}

func (s *stand) path(name string) string { return filepath.Join(s.dir, name) }

// lay writes all that the daemons read.
func (s *stand) lay() error {
	var all lab.Compact
	for i := range s.order.replicas {
		d, err := s.replica(i)
		if err != nil {
			return err
		}
		s.replicas = append(s.replicas, d)
	}
	for i := range s.replicas {
		c := s.replicaConfig(i)
		all.Replicas = append(all.Replicas, c)
		if err := save(s.replicas[i].config, c); err != nil {
			return err
		}
	}
	for i := range s.order.nodes {
		c, err := s.node(i + 1)
		if err != nil {
			return err
		}
		all.Nodes = append(all.Nodes, c)
	}
	for i := range s.order.spare {
		if err := s.issue(trust.Identity{Role: trust.Node, Shelf: shelfName, Slot: s.order.nodes + i + 1}); err != nil {
			return err
		}
	}
	return save(s.path("compact.json"), all)
}

func save(path string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o600)
}

func (s *stand) issue(id trust.Identity) error {
	_, err := s.pki.Issue(id, trust.Options{})
	return err
}

func (s *stand) replica(i int) (*daemon, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	name := replicaName(i)
	d := &daemon{config: s.path(name + ".json"), api: "unix:" + s.path(name+".sock"), addr: addr}
	return d, s.issue(trust.Identity{Role: trust.Replica, Name: name})
}

func replicaName(i int) string { return fmt.Sprintf("shm%d", i+1) }

func (s *stand) replicaConfig(i int) shelf.Config {
	name := replicaName(i)
	c := shelf.Config{
		Name: name, Dir: s.path(name), Listen: s.replicas[i].addr, Expect: s.order.replicas, Timing: "lab",
		PKI: s.path("pki"), Cluster: s.cluster, API: s.replicas[i].api, Shelves: []shelf.Declared{{Name: shelfName}},
	}
	for j, other := range s.replicas {
		if j != i {
			c.Seeds = append(c.Seeds, other.addr)
		}
	}
	return c
}

func (s *stand) node(slot int) (node.Config, error) {
	name := fmt.Sprintf("node%d", slot)
	d := &daemon{config: s.path(name + ".json"), api: "unix:" + s.path(name+".sock"), vm: "unix:" + s.path(name+".vm")}
	c := node.Config{
		Shelf: shelfName, Slot: slot, Name: name, Profile: node.ProfileATCA, Interface: "kcs", Dir: s.path(name),
		PKI: s.path("pki"), Cluster: s.cluster, API: d.api,
	}
	if s.order.vm != nil {
		c.VM = s.order.vm(s, slot)
	}
	if c.VM != nil {
		c.Interface = string(c.VM.SystemInterface)
	} else {
		c.Listen = []node.Listen{{Address: d.vm}}
	}
	if s.order.lan {
		var err error
		if d.lan, err = freeUDPPort(); err != nil {
			return c, err
		}
		c.LAN.Listen = d.lan
	}
	for i, r := range s.replicas {
		c.Replicas = append(c.Replicas, node.Replica{Name: replicaName(i), Address: r.addr})
	}
	s.nodes = append(s.nodes, d)
	if err := s.issue(trust.Identity{Role: trust.Node, Shelf: shelfName, Slot: slot}); err != nil {
		return c, err
	}
	return c, save(d.config, c)
}

// start starts the daemons, or the one process that has all.
func (s *stand) start() (err error) {
	if s.order.compact {
		s.whole, err = s.b.start(s.order.place, "compact", s.order.env, s.b.bin, "compact", "--config", s.path("compact.json"))
		return err
	}
	for i := range s.replicas {
		if err := s.startReplica(i); err != nil {
			return err
		}
	}
	for i, d := range s.nodes {
		d.process, err = s.b.start(s.order.place, fmt.Sprintf("node%d", i+1), s.order.env, s.b.bin, "node", "--config", d.config)
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *stand) startReplica(i int) (err error) {
	d := s.replicas[i]
	d.process, err = s.b.start(s.order.place, replicaName(i), s.order.env, s.b.bin, "shelf", "--config", d.config)
	return err
}

// settled waits until one replica leads, all are there and all nodes present.
func (s *stand) settled(ctx context.Context) error {
	return eventually(ctx, 2*startPatience, func() error {
		if err := s.died(); err != nil {
			return fatal{err}
		}
		st, err := s.status(ctx)
		if err != nil {
			return err
		}
		for _, m := range st.Members {
			if !m.Reachable || m.AppliedIndex == 0 {
				return fmt.Errorf("%s is not there yet", m.Name)
			}
		}
		if len(st.Members) < len(s.replicas) {
			return fmt.Errorf("%d of %d replicas are members", len(st.Members), len(s.replicas))
		}
		return s.present(ctx)
	})
}

func (s *stand) died() (err error) {
	for _, d := range append(append([]*daemon(nil), s.replicas...), s.nodes...) {
		if d.process != nil {
			err = errors.Join(err, d.process.died())
		}
	}
	if s.whole != nil {
		err = errors.Join(err, s.whole.died())
	}
	return err
}

func (s *stand) close() {
	for _, d := range append(append([]*daemon(nil), s.nodes...), s.replicas...) {
		if d.process != nil {
			d.kill()
		}
	}
	if s.whole != nil {
		s.whole.kill()
	}
}

// guest connects a fake guest to the node in a slot.
func (s *stand) guest(ctx context.Context, slot int) (*guest, error) {
	d := s.nodes[slot-1]
	pr := d.process
	if pr == nil {
		pr = s.whole
	}
	return pr.guest(ctx, d.vm)
}

// bridges connects the guest in one slot and waits until it reaches another's
// controller.
func (s *stand) bridges(ctx context.Context, slot int, to ipmb.Addr) (g *guest, err error) {
	err = eventually(ctx, startPatience, func() (err error) {
		if g, err = s.guest(ctx, slot); err != nil {
			return fatal{err}
		}
		if err = g.bridged(to); err != nil {
			g.close()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("slot %d to %s: %w", slot, to, err)
	}
	return g, nil
}
