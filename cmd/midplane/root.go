package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/internal/version"
)

// app is one run of the command: its streams and its global flags.
type app struct {
	in       io.Reader
	out, err io.Writer

	shelf  string // --shelf
	format string // --output
	pki    string // cert --pki
}

// Groups of verbs in the help.
const (
	groupLife   = "life"
	groupLook   = "look"
	groupDaemon = "daemon"
)

const rootHelp = `Midplane is a chassis of virtual machines: unmodified guests talk to their BMC,
to each other's and to a replicated shelf manager.

  midplane up                      start the built-in two-blade shelf
  midplane ps                      see it
  midplane exec blade1 -- ipmitool -b 0 -t 0x84 mc info
  midplane down                    stop it; state stays

TARGET is a slot number, a node's name, an IPMB address such as 0x84, or shelf.

Exit codes:
`

// root is the command with all its verbs.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "midplane",
		Short:         "A chassis of virtual machines with management controllers",
		Long:          rootHelp + problem.Help(),
		Version:       version.Get(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return problem.Usagef("unknown command %q: midplane help lists them", args[0])
			}
			return cmd.Help()
		},
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &problem.Error{Code: problem.Usage, What: err.Error(), Do: cmd.CommandPath() + " --help"}
	})
	flags := root.PersistentFlags()
	flags.StringVar(&a.shelf, "shelf", "", "the shelf, by name (default $"+lab.EnvShelf+", shelf.yaml here, or the only one)")
	flags.StringVarP(&a.format, "output", "o", formatTable, "how to print: table, json or yaml")
	_ = root.RegisterFlagCompletionFunc("shelf", a.completeShelves)
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{formatTable, formatJSON, formatYAML}, cobra.ShellCompDirectiveNoFileComp))
	root.AddGroup(
		&cobra.Group{ID: groupLife, Title: "Start and stop:"},
		&cobra.Group{ID: groupLook, Title: "Look and act:"},
		&cobra.Group{ID: groupDaemon, Title: "Daemons:"},
	)
	add(root, groupLife, a.lifeVerbs())
	add(root, groupLook, a.dataVerbs())
	add(root, groupDaemon, a.daemonVerbs())
	return root
}

func add(root *cobra.Command, group string, verbs []*cobra.Command) {
	for _, v := range verbs {
		v.GroupID = group
		mindArgs(v)
		root.AddCommand(v)
	}
}

// mindArgs makes a wrong number of arguments the mistake in the command line
// that it is.
func mindArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return &problem.Error{Code: problem.Usage, What: err.Error(), Do: cmd.CommandPath() + " --help"}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		mindArgs(sub)
	}
}

// lifeVerbs start, stop and describe shelves.
func (a *app) lifeVerbs() []*cobra.Command {
	return []*cobra.Command{
		a.initVerb(), a.validateVerb(), a.upVerb(), a.downVerb(), a.lsVerb(),
		a.waitVerb(), a.logsVerb(), a.certVerb(), a.qemuArgsVerb(), a.guestVerb(),
		a.killVerb(), a.stopVerb(), a.resumeVerb(), a.startVerb(), a.supervisorVerb(),
	}
}

// execute runs the command line and gives its exit code.
func (a *app) execute(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return int(problem.OK)
	}
	if exit, ok := exitOf(err); ok {
		return exit
	}
	fmt.Fprintln(a.err, "midplane: "+explain(err))
	return int(codeOf(err))
}

// lab is the shelf that the global flags mean.
func (a *app) lab() (*lab.Lab, error) { return lab.Find(a.shelf) }
