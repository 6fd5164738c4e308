package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/deploy/lab/topology"
	"github.com/midplane-project/midplane/internal/problem"
)

func (a *app) tourVerb() *cobra.Command {
	var step bool
	cmd := &cobra.Command{
		Use:   "tour",
		Short: "Start a shelf and show what it does, with real commands in real guests",
		Long: `Start a shelf, if it does not run, and show what it does: every command that is
printed is run, and what it prints is what came back from the guests. The tour
fails if a command does, or if the loss of the leader costs a single request.
It leaves the shelf running.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t := &tour{app: a, named: a.shelf != "", step: step, enter: bufio.NewReader(a.in), start: time.Now(), do: runApp}
			return t.take(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&step, "step", false, "wait for Enter before each part")
	return cmd
}

func runApp(ctx context.Context, a *app, args []string) int { return a.execute(ctx, args) }

// tour is one walk through a shelf.
type tour struct {
	*app
	named bool // the person said which shelf
	step  bool
	enter *bufio.Reader
	start time.Time
	lab   *lab.Lab
	do    func(context.Context, *app, []string) int // runs a command line
	one   topology.Node                             // the two nodes that it shows
	two   topology.Node
}

// part is a stretch of the tour.
type part struct {
	title, about string
	show         func(*tour, context.Context) error
}

// take walks through all the parts.
func (t *tour) take(ctx context.Context) error {
	for i, p := range tourParts() {
		if i > 0 {
			t.pause()
		}
		fmt.Fprintf(t.out, "\n== %d. %s ==\n%s\n\n", i+1, p.title, p.about)
		if err := p.show(t, ctx); err != nil {
			return &problem.Error{
				Code: problem.Failed, What: fmt.Sprintf("the tour failed at part %d, %s", i+1, p.title), Why: errors.New(explain(err)),
				Do: "midplane ps shows what runs; midplane logs says more",
			}
		}
	}
	fmt.Fprintf(t.out, "\nThe tour took %.0f s; shelf %s goes on running. Try:\n%s", time.Since(t.start).Seconds(), t.lab.Name, t.next())
	return nil
}

// pause waits for Enter with --step; without anybody there it goes on.
func (t *tour) pause() {
	if !t.step {
		return
	}
	fmt.Fprint(t.out, "\n[Enter] ")
	_, _ = t.enter.ReadString('\n')
}

// open finds the shelf and the two nodes to show.
func (t *tour) open() (err error) {
	if t.lab, err = lab.Find(t.shelf); err != nil {
		return err
	}
	t.shelf = t.lab.Name
	nodes := t.lab.Topology.Nodes
	if len(nodes) < 2 {
		return problem.Usagef("the tour needs two nodes, and shelf %s has %d", t.lab.Name, len(nodes))
	}
	t.one, t.two = nodes[0], nodes[1]
	return nil
}

// run prints a command of midplane's, runs it as its person would, and gives
// what it printed.
func (t *tour) run(ctx context.Context, args ...string) (string, error) {
	t.prompt(args)
	return t.runQuietly(ctx, t.out, args...)
}

// prompt prints a command line.
func (t *tour) prompt(args []string) {
	if t.named {
		args = t.withShelf(args)
	}
	fmt.Fprintf(t.out, "$ midplane %s\n", quoteAll(args))
}

// runQuietly runs a command whose line has been printed.
func (t *tour) runQuietly(ctx context.Context, out io.Writer, args ...string) (string, error) {
	var text bytes.Buffer
	sub := &app{in: strings.NewReader(""), out: io.MultiWriter(out, &text), err: t.err}
	if code := t.do(ctx, sub, t.withShelf(args)); code != 0 {
		return text.String(), fmt.Errorf("midplane %s: exit code %d", quoteAll(args), code)
	}
	return text.String(), ctx.Err()
}

// withShelf puts --shelf in front, once the shelf is known.
func (t *tour) withShelf(args []string) []string {
	if t.shelf == "" {
		return args
	}
	return append([]string{"--shelf", t.shelf}, args...)
}

// guest runs a command in a guest.
func (t *tour) guest(ctx context.Context, n topology.Node, argv ...string) (string, error) {
	return t.run(ctx, append([]string{"exec", n.Name, "--"}, argv...)...)
}

// guestAll runs commands in a guest, one after another, up to the first that fails.
func (t *tour) guestAll(ctx context.Context, n topology.Node, commands ...string) error {
	for _, c := range commands {
		if _, err := t.guest(ctx, n, strings.Fields(c)...); err != nil {
			return err
		}
	}
	return nil
}

// next says what to try after the tour.
func (t *tour) next() string {
	one, two := t.one.Name, t.two.Addr().String()
	var b strings.Builder
	for _, l := range [][2]string{
		{"console " + one, "a shell in the guest; ~. leaves"},
		{"trace", "every message, decoded; run something in a guest meanwhile"},
		{"capture -w shelf.pcap --for 10s", "the same for Wireshark"},
		{"raw " + two + " 6 1", "one request through the API"},
		{"events --follow", "what the controllers and guests tell the shelf"},
		{"kill leader", "then midplane cluster, and midplane start shm1, shm2 or shm3"},
		{"up -f shelf.yaml", "a shelf of your own; midplane init writes the file"},
		{"down", "stop everything; state stays"},
	} {
		fmt.Fprintf(&b, "  midplane %-32s %s\n", l[0], l[1])
	}
	return b.String()
}
