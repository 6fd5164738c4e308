package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/internal/problem"
)

// readyLimit is how long up waits for guests: under TCG on a busy machine they
// take their time.
const readyLimit = 3 * time.Minute

func (a *app) upVerb() *cobra.Command {
	var o lab.UpOptions
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a shelf, or bring a running one up to date",
		Long: `Start a shelf: its replicas, its nodes and their VMs, under a supervisor in the
background. Without -f it is the shelf of --shelf, of the shelf.yaml here, or the
built-in one with two blades.

What runs as it should is left alone; what is missing or has changed is started;
what is no longer in the file is stopped.`,
		Example: "  midplane up\n  midplane up -f shelf.yaml --dry-run\n  midplane up --kernel bzImage --modules out/lib/modules/6.12.0",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Modules != "" && o.Kernel == "" {
				return problem.Usagef("--modules without --kernel: give both")
			}
			exe, err := os.Executable()
			if err != nil {
				return err
			}
			o.Exe, o.Shelf, o.Say = exe, a.shelf, a.say
			o.KeepForm = !cmd.Flags().Changed("compact")
			l, err := lab.Up(cmd.Context(), o)
			if err != nil || o.Dry {
				return err
			}
			if !o.Foreground {
				a.say("Shelf %s is up. Look: midplane ps   Stop: midplane down", l.Name)
				a.sayDoors(l)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.File, "file", "f", "", "the shelf's `FILE`")
	f.BoolVar(&o.Dry, "dry-run", false, "say what would be done, and do nothing")
	f.BoolVar(&o.Foreground, "foreground", false, "stay, and take the shelf down at the end")
	f.BoolVar(&o.Compact, "compact", false, "replicas and nodes in one process: for laptops, no fault tolerance")
	f.StringVar(&o.Kernel, "kernel", "", "boot the lab guests with this kernel (`FILE`, a bzImage)")
	f.StringVar(&o.Modules, "modules", "", "modules of that kernel (`DIR`, as lib/modules/RELEASE); default: all built in")
	f.DurationVar(&o.Timeout, "timeout", readyLimit, "how long to wait until the guests answer; 0: do not wait")
	return cmd
}

// say prints a line of what is being done.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.out, format+"\n", args...) }
