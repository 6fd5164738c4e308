package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/internal/problem"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// ipmitoolGrace is how long an ipmitool that was told to end may take to close
// its session.
const ipmitoolGrace = 5 * time.Second

func (a *app) ipmiVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ipmi TARGET ARG...",
		Short: "Run ipmitool at a LAN door",
		Long: `Run ipmitool at the LAN door of a controller, with its address and the password
of its first administrator. A slot without a door is reached by the shelf
manager's. The exit code is ipmitool's own, 125 when it could not be run, and 5 or
6, as of other commands, when nobody is at the door.`,
		Example: `  midplane ipmi blade2 sdr elist
  midplane ipmi 0x82 -v fru print
  midplane ipmi shelf -b 0 -t 0x84 mc info`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return own125(problem.Usagef("want a TARGET and what ipmitool shall do: midplane ipmi blade1 mc info"))
			}
			l, err := a.lab()
			if err != nil {
				return own125(err)
			}
			d, bridged, err := doorOf(l, args[0])
			if err != nil {
				return own125(err)
			}
			c, err := a.ipmitool(cmd.Context(), d, bridged, args[1:])
			if err != nil {
				return own125(err)
			}
			if err := awake(cmd.Context(), l, d); err != nil {
				return err
			}
			return endOf(c.Run())
		},
	}
	cmd.Flags().SetInterspersed(false) // what follows TARGET is ipmitool's
	return cmd
}

// ipmitool makes the command that asks at a door.
func (a *app) ipmitool(ctx context.Context, d lab.Door, bridged, args []string) (*exec.Cmd, error) {
	password, err := d.Password()
	if err != nil {
		return nil, err
	}
	path, err := exec.LookPath("ipmitool")
	if err != nil {
		return nil, &problem.Error{
			Code: problem.NotFound, What: "ipmitool is not there", Why: err,
			Do: "install it: apt install ipmitool, or dnf install ipmitool; midplane raw asks without it",
		}
	}
	if args[0] == "--" {
		args = args[1:]
	}
	argv := append(append(ipmitool(d)[1:], "-E"), bridged...)
	c := exec.CommandContext(ctx, path, append(argv, args...)...)
	c.Env = append(os.Environ(), "IPMITOOL_PASSWORD="+password)
	c.Stdin, c.Stdout, c.Stderr = a.in, a.out, a.err
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = ipmitoolGrace
	return c, nil
}

// doorOf is the door by which a target is reached, and what ipmitool needs to
// get from there to it.
func doorOf(l *lab.Lab, target string) (d lab.Door, bridged []string, err error) {
	t, err := l.ResolveTarget(target)
	if err != nil {
		return d, nil, err
	}
	if d, err = l.Door(t); err == nil {
		return d, nil, nil
	}
	if all := l.Doors(); !t.Shelf && len(all) > 0 && all[0].Target.Shelf {
		return all[0], []string{"-b", "0", "-t", t.Addr.String()}, nil
	}
	return d, nil, err
}

// awake says who is missing when nobody answers at a door: ipmitool would go on
// asking for 20 seconds and not know.
func awake(ctx context.Context, l *lab.Lab, d lab.Door) error {
	silence := d.Ping(ctx)
	if silence == nil {
		return nil
	}
	if err := behind(ctx, l, d.Target); err != nil {
		return err
	}
	e := &problem.Error{Code: problem.Unavailable, What: "nobody is at the LAN door of " + d.Target.String(), Where: d.Address.String()}
	if what, do := l.FrontTrouble(); d.Target.Shelf && what != "" {
		e.Why, e.Do = errors.New(what), do
		return e
	}
	if errors.Is(silence, syscall.ECONNREFUSED) {
		e.Why, e.Do = silence, toStart
		return e
	}
	return nil // who is busy answers ipmitool later
}

// behind reports why nobody answers for a target by its own API either.
func behind(ctx context.Context, l *lab.Lab, t lab.Target) error {
	if t.Shelf {
		rs, err := dialReplicas(l)
		if err != nil {
			return err
		}
		defer rs.close()
		_, err = rs.leader(ctx, l.Name)
		return err
	}
	d, err := dialNode(l, t.Name)
	if err != nil {
		return err
	}
	defer d.conn.Close()
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	_, err = d.node().Status(ctx, &v1.NodeStatusRequest{})
	return d.explain(err)
}

// endOf is the end of a program of somebody else's as this one's own.
func endOf(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		if err != nil {
			err = own125(fmt.Errorf("ipmitool: %w", err))
		}
		return err
	}
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return exitError(signalBase + int(s.Signal()))
	}
	return exitError(exit.ExitCode())
}
