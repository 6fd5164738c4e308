package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// consoleReplay is how much of the past a console shows first, in bytes.
const consoleReplay = 4096

func (a *app) consoleVerb() *cobra.Command {
	var readOnly bool
	var replay int
	var during time.Duration
	cmd := &cobra.Command{
		Use:   "console TARGET",
		Short: "Join a VM's serial console",
		Long: `Join a VM's serial console. One person may type at a time, any number may watch.
At the start of a line ~. leaves and ~? helps. Without a terminal what is piped
in is typed, and the console is shown until interrupted or for --for.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := limited(cmd.Context(), during)
			defer cancel()
			return a.withNode(args[0], func(d daemon) error {
				return a.console(ctx, d, &v1.ConsoleRequest{Write: !readOnly, Replay: uint32(max(replay, 0))})
			})
		},
	}
	cmd.Flags().BoolVar(&readOnly, "read-only", false, "only watch")
	cmd.Flags().IntVar(&replay, "replay", consoleReplay, "`BYTES` of the past to show first")
	cmd.Flags().DurationVar(&during, "for", 0, "leave after this time")
	return cmd
}

// console joins until its person leaves, ctx ends or the node ends it.
func (a *app) console(ctx context.Context, d daemon, first *v1.ConsoleRequest) error {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	stream, err := d.node().Console(ctx)
	if err != nil {
		return d.explain(err)
	}
	if err := stream.Send(first); err != nil && !errors.Is(err, io.EOF) {
		return d.explain(err)
	}
	restore, terminal, err := a.rawTerminal()
	if err != nil {
		return err
	}
	defer restore()
	if terminal {
		fmt.Fprintf(a.err, "%s: ~. leaves, ~? helps\r\n", d.Name)
	}
	keys := &escapes{out: a.err, start: true, on: terminal}
	// A Read of the terminal that is under way stays behind until the program ends.
	go func() {
		if left := a.typeKeys(stream, keys, first.Write); left {
			leave()
		}
	}()
	err = a.showConsole(ctx, d, stream)
	if terminal {
		fmt.Fprint(a.err, "\r\n")
	}
	return err
}

// typeKeys sends what is typed. It reports whether the person left; the end of
// piped input does not end the watching.
func (a *app) typeKeys(stream v1.Node_ConsoleClient, keys *escapes, writer bool) (left bool) {
	buf := make([]byte, 1024)
	for {
		n, err := a.in.Read(buf)
		data, left := keys.filter(buf[:n])
		if left {
			return true
		}
		if len(data) > 0 && writer && stream.Send(&v1.ConsoleRequest{Data: data}) != nil {
			return false // the receiving side tells why
		}
		if err != nil {
			return keys.on
		}
	}
}

func (a *app) showConsole(ctx context.Context, d daemon, stream v1.Node_ConsoleClient) error {
	for {
		m, err := stream.Recv()
		switch {
		case ctx.Err() != nil, errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return d.explain(err)
		}
		if _, err := a.out.Write(m.Data); err != nil {
			return err
		}
	}
}

// rawTerminal hands every key to the guest, where standard input is a terminal.
func (a *app) rawTerminal() (restore func(), terminal bool, err error) {
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}, false, nil
	}
	old, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, false, fmt.Errorf("terminal: %w", err)
	}
	return func() { _ = term.Restore(int(f.Fd()), old) }, true, nil
}
