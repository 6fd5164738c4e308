package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/internal/inmem"
	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/node"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf"
	"github.com/midplane-project/midplane/shelf/cluster/clustertest"
	"github.com/midplane-project/midplane/shelf/front"
)

// compactVerb is midplane compact: all replicas and nodes of a shelf in one
// process. midplane up --compact starts it; its file is a [lab.Compact].
func (a *app) compactVerb() *cobra.Command {
	var f daemonFlags
	cmd := &cobra.Command{
		Use:    "compact",
		Short:  "Run all replicas and nodes of a shelf in one process (a daemon)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := f.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if f.config == "" {
				return problem.Usagef("--config: which file has the shelf?")
			}
			c, err := readCompact(f.config)
			if err != nil {
				return unread(err)
			}
			frugal()
			fewProcessors(c.Nodes...)
			return newCompact(c, log).run(cmd.Context())
		},
	}
	f.add(cmd)
	return cmd
}

func readCompact(path string) (*lab.Compact, error) {
	var c lab.Compact
	if err := jsonfile.ReadStrict(path, &c); err != nil {
		return nil, err
	}
	var all []error
	for i := range c.Replicas {
		all = append(all, c.Replicas[i].Check())
	}
	for i := range c.Nodes {
		all = append(all, c.Nodes[i].Check())
	}
	if c.Front != nil {
		all = append(all, c.Front.Check())
	}
	return &c, errors.Join(all...)
}

// compact is a shelf in one process. The replicas' addresses only name them:
// nobody listens there.
type compact struct {
	*lab.Compact
	log  *slog.Logger
	bus  *inmem.Network
	raft *clustertest.Network
	apis map[string]lab.Endpoint // by the replica's address
}

func newCompact(c *lab.Compact, log *slog.Logger) *compact {
	all := &compact{Compact: c, log: log, bus: inmem.NewNetwork(), raft: clustertest.NewNetwork(), apis: make(map[string]lab.Endpoint)}
	for _, r := range c.Replicas {
		all.apis[r.Listen] = lab.Endpoint{Name: r.Name, Unix: strings.TrimPrefix(r.API, "unix:")}
	}
	return all
}

// run serves until ctx ends or a part fails, and then ends the others.
func (c *compact) run(ctx context.Context) (err error) {
	replicas, err := c.open()
	g, ctx := errgroup.WithContext(ctx)
	var door *front.Front
	if err == nil && c.Front != nil {
		door, err = front.Open(*c.Front, c.log)
	}
	if err == nil {
		if door != nil {
			g.Go(func() error { return ended(door.Run(ctx)) })
		}
		for _, r := range replicas {
			g.Go(func() error { return r.Wait(ctx) })
		}
		for _, n := range c.Nodes {
			g.Go(func() error {
				return serveNode(ctx, n, node.Options{Log: c.log, Dial: c.bus.Dialer(n.Name)}, func() {})
			})
		}
		notify("READY=1")
		err = g.Wait()
		notify("STOPPING=1")
	}
	for _, r := range replicas {
		err = errors.Join(err, r.Close())
	}
	c.bus.Wait()
	return err
}

// ended is no error of a part that was told to end.
func ended(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// open opens the replicas, which find each other while the nodes attach.
func (c *compact) open() (all []*shelf.Replica, err error) {
	for _, cfg := range c.Replicas {
		addr := cfg.Listen
		r, err := shelf.Open(cfg, shelf.Options{Log: c.log, Serve: serveReplica, Memory: &shelf.Memory{
			Raft: c.raft.Transport(addr), Bus: c.bus.Dialer(addr), API: c.dialAPI,
			Serve: func(s v1.BackplaneServer) func() { return c.bus.Serve(addr, s) },
		}})
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, nil
}

// dialAPI connects to another replica's API by its Unix socket.
func (c *compact) dialAPI(addr string) (*grpc.ClientConn, error) {
	e, ok := c.apis[addr]
	if !ok {
		return nil, fmt.Errorf("no replica is called %s", addr)
	}
	return e.Dial()
}
