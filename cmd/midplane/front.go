package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/shelf/front"
)

// frontVerb is midplane front: the process that has the UDP socket of a shelf's
// LAN door.
func (a *app) frontVerb() *cobra.Command {
	var f daemonFlags
	cmd := &cobra.Command{
		Use:   "front",
		Short: "Pass a shelf's LAN datagrams to the replica that leads (a daemon)",
		Long: `Own the UDP socket of a shelf's LAN door and pass what comes to the replica that
leads. It keeps nothing: sessions are with the replicas. The file says where to
listen and which Unix sockets the replicas have:

  {"listen": "127.77.1.0:623", "replicas": ["unix:/run/shm1.lan", "unix:/run/shm2.lan"]}`,
		Example: `  midplane front --config /etc/midplane/front.json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := f.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if f.config == "" {
				return problem.Usagef("--config: which file says where to listen?")
			}
			c, err := front.ReadConfig(f.config)
			if err != nil {
				return unread(err)
			}
			frugal()
			one, err := front.Open(*c, log)
			if err != nil {
				return err
			}
			notify("READY=1")
			forgetStart()
			if err := one.Run(cmd.Context()); !errors.Is(err, context.Canceled) {
				return err
			}
			notify("STOPPING=1")
			return nil
		},
	}
	f.add(cmd)
	return cmd
}
