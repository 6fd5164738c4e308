package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/midplane-project/midplane/internal/problem"
)

func (a *app) downVerb() *cobra.Command {
	var purge, yes bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End every process of a shelf; its state stays",
		Long: `End every process of a shelf, its VMs among them, and remove its sockets. State
stays for the next midplane up; --purge lists and deletes it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.lab()
			if err != nil {
				return err
			}
			if !purge {
				if n, err := l.Down(cmd.Context(), a.say); err != nil {
					return err
				} else if n == 0 {
					a.say("Shelf %s was down already. Delete its state: midplane down --purge", l.Name)
					return nil
				}
				a.say("Shelf %s is down; its state stays in %s", l.Name, l.StateDir)
				return nil
			}
			done, err := l.Purge(cmd.Context(), func(paths []string) (bool, error) { return a.confirm(paths, yes) }, a.say)
			if done {
				a.say("Deleted.")
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "list the shelf's state and delete it")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask before deleting")
	return cmd
}

// confirm lists what will be deleted, and asks.
func (a *app) confirm(paths []string, yes bool) (bool, error) {
	a.say("This will be deleted:")
	for _, p := range paths {
		a.say("  %s", p)
	}
	if yes {
		return true, nil
	}
	in, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return false, problem.Refusedf("midplane down --purge --yes", "nothing is deleted without somebody who agrees")
	}
	fmt.Fprint(a.out, "Delete it? [y/N] ")
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		return false, err
	}
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "y"), nil
}
