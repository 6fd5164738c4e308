package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/midplane-project/midplane/api"
	"github.com/midplane-project/midplane/shelf"
)

// shelfVerb is midplane shelf: the daemon of one shelf manager replica.
func (a *app) shelfVerb() *cobra.Command {
	var (
		f       daemonFlags
		c       shelf.Config
		shelves []string
		wipe    bool
	)
	cmd := &cobra.Command{
		Use:   "shelf",
		Short: "Run one replica of the shelf manager (a daemon)",
		Long: `Run one replica of the shelf manager. The replicas named by --expect find each
other at their --seed addresses and form a cluster once; later ones join it.`,
		Example: `  midplane shelf --name shm1 --listen 10.0.0.1:7001 --expect 3 \
      --seed 10.0.0.2:7001 --seed 10.0.0.3:7001 --shelf lab \
      --pki /etc/midplane/pki --dir /var/lib/midplane/shm1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := f.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if a.shelf != "" {
				shelves = append(shelves, a.shelf)
			}
			cfg, err := shelfConfig(cmd, &f, c, shelves)
			if err != nil {
				return err
			}
			if wipe {
				return shelf.Wipe(cfg)
			}
			return runShelf(cmd.Context(), cfg, log)
		},
	}
	f.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&c.Name, "name", "", "the replica's name, unique in the cluster")
	fl.StringVar(&c.Dir, "dir", "", "where the replica keeps its state")
	fl.StringVar(&c.Listen, "listen", "", "`HOST:PORT` for raft, the bus and the API alike")
	fl.StringVar(&c.Advertise, "advertise", "", "how others reach it, `HOST:PORT` (default: --listen)")
	fl.IntVar(&c.Expect, "expect", 1, "how many replicas form the cluster, this one included")
	fl.StringArrayVar(&c.Seeds, "seed", nil, "another replica, `HOST:PORT` (may be repeated)")
	fl.StringVar(&c.Timing, "timing", "lan", "lab (200 ms elections) or lan (300 ms)")
	fl.StringVar(&c.PKI, "pki", "", "directory with the replica's certificate")
	fl.StringVar(&c.Cluster, "cluster", "", "cluster ID (default: that of the certificate)")
	fl.StringVar(&c.API, "api", "", "serve the API at `unix:PATH` as well")
	fl.BoolVar(&wipe, "wipe", false, "empty the stopped replica's state, so that it joins its cluster again, and exit")
	return cmd
}

// shelfConfig puts file and flags together: what stands on the command line wins.
func shelfConfig(cmd *cobra.Command, f *daemonFlags, c shelf.Config, shelves []string) (shelf.Config, error) {
	if f.config != "" {
		file, err := shelf.ReadConfig(f.config)
		if err != nil {
			return c, unread(err)
		}
		c = overlayShelf(cmd, *file, c)
	}
	for _, name := range shelves {
		c.Shelves = append(c.Shelves, shelf.Declared{Name: name})
	}
	return c, f.blame(cmd, c.Check(), shelfFlags)
}

// shelfFlags are the flags for keys of a replica's file.
var shelfFlags = map[string]string{
	"name": "name", "dir": "dir", "listen": "listen", "expect": "expect", "seeds": "seed", "timing": "timing", "pki": "pki",
}

// overlayShelf takes the flags that were given over the file's values.
func overlayShelf(cmd *cobra.Command, file, flags shelf.Config) shelf.Config {
	for name, take := range map[string]func(){
		"name": func() { file.Name = flags.Name }, "dir": func() { file.Dir = flags.Dir },
		"listen": func() { file.Listen = flags.Listen }, "advertise": func() { file.Advertise = flags.Advertise },
		"expect": func() { file.Expect = flags.Expect }, "seed": func() { file.Seeds = flags.Seeds },
		"timing": func() { file.Timing = flags.Timing }, "pki": func() { file.PKI = flags.PKI },
		"cluster": func() { file.Cluster = flags.Cluster }, "api": func() { file.API = flags.API },
	} {
		if cmd.Flags().Changed(name) {
			take()
		}
	}
	return file
}

// runShelf serves until ctx ends; a leader hands over first.
func runShelf(ctx context.Context, cfg shelf.Config, log *slog.Logger) error {
	frugal()
	r, err := shelf.Open(cfg, shelf.Options{Log: log, Serve: serveReplica})
	if err != nil {
		return err
	}
	notify("READY=1")
	forgetStart()
	err = r.Wait(ctx)
	notify("STOPPING=1")
	return errors.Join(err, r.Close())
}

func serveReplica(r *shelf.Replica) ([]grpc.ServerOption, func(*grpc.Server)) {
	return api.ReplicaPolicy.ServerOptions(), func(s *grpc.Server) { api.RegisterReplica(s, r) }
}
