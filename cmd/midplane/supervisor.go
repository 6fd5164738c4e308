package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab"
)

// supervisorVerb is what up starts in the background.
func (a *app) supervisorVerb() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:    lab.SupervisorVerb,
		Short:  "Keep a shelf's processes running (started by midplane up)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return lab.Supervise(cmd.Context(), state, slog.New(slog.NewTextHandler(a.err, nil)))
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "the shelf's state directory")
	_ = cmd.MarkFlagRequired("state")
	return cmd
}
