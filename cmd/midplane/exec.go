package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/internal/problem"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const (
	// execFailed is the exit code for exec's own failures, as docker exec and
	// env(1) have it: the guest's command has all the others.
	execFailed problem.Code = 125
	// signalBase is added to the number of the signal that ended a command, as shells do.
	signalBase = 128
	// inputLimit is what fits into one message to the node, in bytes.
	inputLimit = 3 << 20
)

func (a *app) execVerb() *cobra.Command {
	var stdin bool
	var timeout time.Duration
	var env []string
	cmd := &cobra.Command{
		Use:   "exec TARGET -- CMD [ARG...]",
		Short: "Run a command in a guest",
		Long: `Run a command in a guest through its QEMU guest agent, and print what it printed
once it has ended. The exit code is the command's own, 128+N if signal N ended
it, and 125 when it could not be run. Whoever interrupts it (^C, SIGTERM) ends the
command in the guest, too, by SIGTERM, with all that it started.`,
		Example: `  midplane exec blade1 -- ipmitool mc info
  echo hello | midplane exec blade1 -i -- wc -c`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return own125(problem.Usagef("want a TARGET and a command: midplane exec blade1 -- ipmitool mc info"))
			}
			r := &v1.ExecRequest{Argv: args[1:], Env: env, TimeoutSeconds: seconds(timeout)}
			if stdin {
				var err error
				if r.Input, err = readInput(a.in); err != nil {
					return own125(err)
				}
			}
			var code int
			err := a.withNode(args[0], func(d daemon) (err error) {
				code, err = a.exec(cmd.Context(), d, r)
				return err
			})
			if err != nil {
				return own125(err)
			}
			if code != 0 {
				return exitError(code)
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&stdin, "stdin", "i", false, "give the command all of standard input")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up waiting after this time; the command goes on in the guest")
	cmd.Flags().StringArrayVarP(&env, "env", "e", nil, "set `NAME=VALUE` for the command, in place of the agent's environment")
	return cmd
}

// own125 gives an error of exec itself the exit code that no command has by
// convention.
func own125(err error) error {
	e := &problem.Error{Code: execFailed, What: explain(err)}
	var p *problem.Error
	if errors.As(err, &p) {
		*e = *p
		e.Code = execFailed
	}
	return e
}

// seconds rounds up: a limit must not become none.
func seconds(d time.Duration) uint32 {
	return uint32((d + time.Second - 1) / time.Second)
}

func readInput(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, inputLimit+1))
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	if len(data) > inputLimit {
		return nil, &problem.Error{
			Code: problem.Usage, What: fmt.Sprintf("standard input is longer than %d bytes", inputLimit), Do: "copy it first: midplane cp",
		}
	}
	return data, nil
}

// exec runs a command and prints what it printed.
func (a *app) exec(ctx context.Context, d daemon, r *v1.ExecRequest) (code int, err error) {
	stream, err := d.node().Exec(ctx, r)
	if err != nil {
		return 0, d.explain(err)
	}
	for {
		m, err := stream.Recv()
		if ctx.Err() != nil && err != nil {
			return 0, fmt.Errorf("interrupted; %s is to end in the guest, too", r.Argv[0])
		}
		if errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("%s did not say how the command ended", d.Name)
		}
		if err != nil {
			return 0, d.explain(err)
		}
		if _, err := a.out.Write(m.Stdout); err != nil {
			return 0, err
		}
		if _, err := a.err.Write(m.Stderr); err != nil {
			return 0, err
		}
		switch {
		case m.Exited && m.Signal != 0:
			return signalBase + int(m.Signal), nil
		case m.Exited:
			return int(m.ExitCode), nil
		}
	}
}
