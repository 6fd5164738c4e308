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
manager's. The exit code is ipmitool's own, and 125 when it could not be run.`,
		Example: `  midplane ipmi blade2 sdr elist
  midplane ipmi 0x82 -v fru print
  midplane ipmi shelf -b 0 -t 0x84 mc info`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return own125(problem.Usagef("want a TARGET and what ipmitool shall do: midplane ipmi blade1 mc info"))
			}
			c, err := a.ipmitool(cmd.Context(), args[0], args[1:])
			if err != nil {
				return own125(err)
			}
			return endOf(c.Run())
		},
	}
	cmd.Flags().SetInterspersed(false) // what follows TARGET is ipmitool's
	return cmd
}

// ipmitool makes the command that asks target.
func (a *app) ipmitool(ctx context.Context, target string, args []string) (*exec.Cmd, error) {
	l, err := a.lab()
	if err != nil {
		return nil, err
	}
	t, err := l.ResolveTarget(target)
	if err != nil {
		return nil, err
	}
	d, bridged, err := doorTo(l, t)
	if err != nil {
		return nil, err
	}
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

// doorTo is the door by which t is reached, and what ipmitool needs to get from
// there to it.
func doorTo(l *lab.Lab, t lab.Target) (d lab.Door, bridged []string, err error) {
	if d, err = l.Door(t); err == nil {
		return d, nil, nil
	}
	if all := l.Doors(); !t.Shelf && len(all) > 0 && all[0].Target.Shelf {
		return all[0], []string{"-b", "0", "-t", t.Addr.String()}, nil
	}
	return d, nil, err
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
