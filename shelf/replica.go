package shelf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/midplane-project/midplane/internal/tap"
	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/backplane"
	"github.com/midplane-project/midplane/shelf/cluster"
	"github.com/midplane-project/midplane/shelf/state"
)

// stopPatience bounds how long a replica hands over and says goodbye.
const stopPatience = 5 * time.Second

// Options are what a replica's surroundings give it.
type Options struct {
	Log *slog.Logger
	// Serve adds the services for people and programs to the API's server,
	// and gives the rules for them; nil for none.
	Serve func(r *Replica) (opts []grpc.ServerOption, register func(*grpc.Server))
	// Memory, when set, is used in place of a port and certificates.
	Memory *Memory
}

// Replica is one shelf manager process.
type Replica struct {
	cfg     Config
	log     *slog.Logger
	wires   *wires
	fsm     *state.FSM
	cluster *cluster.Cluster
	sw      *backplane.Switch
	brain   *brain
	doors   map[string]*lanDoor // by shelf
	hub     tap.Hub
	stops   []func() // end what serves
	group   sync.WaitGroup
	ended   chan error    // one slot: a server that failed
	woken   chan struct{} // one slot: the cluster's leader may have changed
}

// Open brings a replica up: its port first, so that the others can ask it;
// then the cluster, and the switch over it.
func Open(cfg Config, opt Options) (*Replica, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if cfg.Advertise == "" {
		cfg.Advertise = cfg.Listen
	}
	r := &Replica{cfg: cfg, log: opt.Log, ended: make(chan error, 1), woken: make(chan struct{}, 1)}
	if err := r.open(opt); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Replica) open(opt Options) error {
	if err := r.openWires(opt); err != nil {
		return err
	}
	if err := r.openCluster(); err != nil {
		return err
	}
	if err := r.openDoors(); err != nil {
		return err
	}
	r.openSwitch()
	r.stops = append(r.stops, r.wires.serveBus(&bus{r.sw, r.cluster}))
	if err := r.serveAPI(opt); err != nil {
		return err
	}
	r.group.Go(r.followLeadership)
	return nil
}

func (r *Replica) openCluster() error {
	profile, err := cluster.ProfileByName(r.cfg.Timing)
	if err != nil {
		return err
	}
	r.fsm = state.NewFSM(state.New(state.Config{}), nil) // the cluster sets its halt
	c := cluster.Config{
		NodeID: r.cfg.Name, Address: r.cfg.Advertise, DataDir: r.cfg.Dir, Profile: profile,
		Expect: r.cfg.Expect, Seeds: r.cfg.Seeds, Seeder: seeder{r.wires.bus}, ClusterID: r.cfg.Cluster,
		FSM: r.fsm, Logger: r.log,
		Observer: func(e cluster.Event) {
			if e.Kind == cluster.LeaderKnown {
				r.wake()
			}
		},
	}
	r.wires.raft(&c)
	if r.cluster, err = cluster.Open(c); err != nil {
		return fmt.Errorf("replica %s: %w", r.cfg.Name, err)
	}
	return nil
}

// Wait returns when ctx ends (nil), or with the error for which the replica
// cannot go on: a full or broken disk, a command from a newer version.
func (r *Replica) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-r.cluster.Failed():
		return fmt.Errorf("replica %s stops: %w", r.cfg.Name, err)
	case err := <-r.ended:
		return err
	}
}

// Close hands leadership over, stops everything and waits for it.
func (r *Replica) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	var err error
	if r.cluster != nil {
		err = r.cluster.Shutdown(ctx) // first: the others elect while our streams still relay
	}
	if r.sw != nil {
		r.sw.Close()
	}
	r.closeDoors()
	for _, stop := range r.stops {
		stop()
	}
	if r.wires != nil {
		err = errors.Join(err, r.wires.close())
	}
	r.group.Wait()
	return err
}

// Wipe empties a stopped replica's state. At its next start it joins its
// cluster again under its old name.
func Wipe(cfg Config) error { return cluster.Wipe(cfg.Dir) }

// tap shows a frame at the switch to onlookers.
func (r *Replica) tap(_ string, m ipmb.Message, fate backplane.Fate) {
	if !r.hub.Watched() {
		return
	}
	raw, err := m.Frame.AppendBinary(nil)
	if err != nil {
		return
	}
	e := &v1.TraceEntry{
		Time: time.Now().UnixNano(), Kind: v1.TraceKind_TRACE_KIND_IPMB, Controller: uint32(m.Frame.To), ToController: true,
		Bytes: raw, Plane: v1.Plane(m.Plane) + v1.Plane_PLANE_A,
	}
	if fate > backplane.Served {
		e.Note = fate.String()
	}
	r.hub.Put(e)
}

// Watch lets an onlooker see what passes this replica's switch.
func (r *Replica) Watch() *tap.Viewer { return r.hub.Watch() }

// State is the replicated state as this replica has it.
func (r *Replica) State() *state.FSM { return r.fsm }
