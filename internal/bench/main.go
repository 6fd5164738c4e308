package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	bin       string
	out       string
	only      string
	rounds    int
	requests  int
	failovers int
	idle      time.Duration
	guests    bool
	full      bool
	keep      bool
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.bin, "bin", "build/midplane", "the program to measure")
	f.StringVar(&o.out, "o", "", "write the measurements as JSON to this file")
	f.StringVar(&o.only, "only", "", "run these parts only, separated by commas: "+strings.Join(partNames(), ","))
	f.IntVar(&o.rounds, "rounds", 9, "rounds in which the sides take turns")
	f.IntVar(&o.requests, "requests", 4000, "requests of each side in a round")
	f.IntVar(&o.failovers, "failovers", 20, "times that the leader is killed (200 for the full figure)")
	f.DurationVar(&o.idle, "idle", 30*time.Second, "how long to watch for spurious elections (10m for the full figure)")
	f.BoolVar(&o.guests, "guests", false, "run real guests in QEMU while the leader is killed")
	f.BoolVar(&o.full, "full", false, "the full figures: -failovers 200 -idle 10m -guests")
	f.BoolVar(&o.keep, "keep", false, "keep the scratch directory with the daemons' logs")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.full {
		o.failovers, o.idle, o.guests = 200, 10*time.Minute, true
	}
	return o, o.resolve()
}

// resolve finds the programs before anything is started.
func (o *options) resolve() (err error) {
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	if _, err := exec.LookPath(o.bin); err != nil {
		return fmt.Errorf("%w: build it first (make build)", err)
	}
	for _, name := range o.parts() {
		if !slices.Contains(partNames(), name) {
			return fmt.Errorf("-only %s: there is no such part; there are %s", name, strings.Join(partNames(), ", "))
		}
	}
	return nil
}

// parts are the names of the parts to run.
func (o *options) parts() []string {
	if o.only == "" {
		return partNames()
	}
	return strings.Split(o.only, ",")
}

// part is one group of measurements.
type part struct {
	name string
	run  func(*bench, context.Context) error
}

var parts = []part{
	{"local", (*bench).local},
	{"bridge", (*bench).bridge},
	{"lan", (*bench).lan},
	{"sol", (*bench).sol},
	{"crowd", (*bench).crowd},
	{"events", (*bench).events},
	{"failover", (*bench).failover},
	{"idle", (*bench).quiet},
	{"memory", (*bench).memory},
}

func partNames() (names []string) {
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

// bench is one run.
type bench struct {
	options
	dir    string // scratch, removed at the end
	report report
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == echoVerb {
		if err := echo(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures part after part. What was measured is printed and written even
// when a later part fails.
func run(ctx context.Context, o options) error {
	debug.SetGCPercent(400) // the client's own collector is not what is measured
	dir, err := os.MkdirTemp("", "midplane-bench-")
	if err != nil {
		return err
	}
	if o.keep {
		fmt.Fprintln(os.Stderr, "bench: logs are in", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	b := &bench{options: o, dir: dir, report: newReport()}
	for _, p := range parts {
		if !slices.Contains(o.parts(), p.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s\n", p.name)
		if err = p.run(b, ctx); err != nil {
			err = fmt.Errorf("%s: %w", p.name, err)
			break
		}
	}
	b.report.print(os.Stdout)
	if o.out != "" {
		if werr := b.report.write(o.out); err == nil {
			err = werr
		}
	}
	return err
}
