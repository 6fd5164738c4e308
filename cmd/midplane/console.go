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

// consoleTail is how much of the past a console shows first, in bytes.
const consoleTail = 4096

// consoleOptions are the flags of midplane console.
type consoleOptions struct {
	readOnly, steal, replay, follow, times bool
	tail                                   int
	since                                  string
	during                                 time.Duration
}

func (a *app) consoleVerb() *cobra.Command {
	var o consoleOptions
	cmd := &cobra.Command{
		Use:   "console TARGET",
		Short: "Join a VM's serial console",
		Long: `Join a VM's serial console. One person types at a time, the one who came first;
any number watch. A session of serial over LAN takes the keyboard from whoever
has it, and so does --steal. At the start of a line ~. leaves and ~? helps.
Without a terminal what is piped in is typed, and the console is shown until
interrupted or for --for.

With --replay or --since what the VM said is shown from the log, that of earlier
boots too, as far as it goes back.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			first, err := o.request(a.onTerminal(), time.Now())
			if err != nil {
				return err
			}
			ctx, cancel := limited(cmd.Context(), o.during)
			defer cancel()
			return a.withNode(args[0], func(d daemon) error { return a.console(ctx, d, first) })
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.readOnly, "read-only", false, "only watch")
	f.BoolVar(&o.steal, "steal", false, "type, though somebody else does")
	f.IntVar(&o.tail, "tail", consoleTail, "`BYTES` of the past to show first")
	f.BoolVar(&o.replay, "replay", false, "show all that the log has, and end")
	f.StringVar(&o.since, "since", "", "replay only what came since then: a `TIME` (2006-01-02T15:04:05Z) or an age (10m)")
	f.BoolVar(&o.follow, "follow", false, "after a replay watch what comes")
	f.BoolVar(&o.times, "times", false, "begin each line with the time when it came")
	f.DurationVar(&o.during, "for", 0, "leave after this time")
	return cmd
}

// request says what the flags want. A person at a terminal who finds the
// keyboard taken watches; what is piped in must not get lost.
func (o consoleOptions) request(terminal bool, now time.Time) (*v1.ConsoleRequest, error) {
	r := &v1.ConsoleRequest{
		Write: !o.readOnly, Watch: terminal, Steal: o.steal, Replay: uint32(max(o.tail, 0)), Times: o.times,
	}
	if o.since != "" {
		since, err := parseSince(o.since, now)
		if err != nil {
			return nil, err
		}
		r.Since = since.UnixNano()
	}
	if r.Log = o.replay || o.since != ""; r.Log {
		r.Write, r.Leave = false, !o.follow
	}
	return r, nil
}

// parseSince reads a time, or an age.
func parseSince(s string, now time.Time) (time.Time, error) {
	if age, err := time.ParseDuration(s); err == nil {
		return now.Add(-age), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("--since %q is neither a time such as 2006-01-02T15:04:05Z nor an age such as 10m", s)
	}
	return t, nil
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
		if (len(data) > 0 || keys.broke) && writer && stream.Send(&v1.ConsoleRequest{Data: data, Break: keys.broke}) != nil {
			return false // the receiving side tells why
		}
		keys.broke = false
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

// onTerminal reports whether a person types.
func (a *app) onTerminal() bool {
	f, ok := a.in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// rawTerminal hands every key to the guest, where standard input is a terminal.
func (a *app) rawTerminal() (restore func(), terminal bool, err error) {
	if !a.onTerminal() {
		return func() {}, false, nil
	}
	f := a.in.(*os.File)
	old, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, false, fmt.Errorf("terminal: %w", err)
	}
	return func() { _ = term.Restore(int(f.Fd()), old) }, true, nil
}
