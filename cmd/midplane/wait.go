package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab"
)

func (a *app) waitVerb() *cobra.Command {
	condition, limit := lab.UntilReady, time.Minute
	cmd := &cobra.Command{
		Use:   "wait TARGET",
		Short: "Wait until a node or the shelf is ready",
		Long: `Wait until something holds for TARGET, or fail with exit code 6.

  ready      the shelf: all of it; a node: it is attached and its guest answers
  leader     the shelf has an active shelf manager
  power=on   the node's VM runs
  power=off  it does not`,
		Example:           "  midplane wait shelf --for leader --timeout 5s\n  midplane wait blade1 --for power=off",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.lab()
			if err != nil {
				return err
			}
			t, err := l.ResolveTarget(args[0])
			if err != nil {
				return err
			}
			return l.Wait(cmd.Context(), t, condition, limit)
		},
	}
	cmd.Flags().StringVar(&condition, "for", condition, "what to wait for: "+strings.Join(lab.Conditions, ", "))
	cmd.Flags().DurationVar(&limit, "timeout", limit, "how long at most")
	_ = cmd.RegisterFlagCompletionFunc("for", cobra.FixedCompletions(lab.Conditions, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
