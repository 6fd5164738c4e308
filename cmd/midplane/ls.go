package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab"
)

func (a *app) lsVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the shelves on this machine",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			h, err := lab.OpenHome()
			if err != nil {
				return err
			}
			all, err := h.List()
			if err != nil {
				return err
			}
			return a.print(all, func(t *table) {
				t.header = []string{"SHELF", "ID", "STATE", "RUNNING", "REPLICAS", "NODES", "SUPERVISOR", "STATE IN"}
				for _, s := range all {
					t.row(s.Name, s.ID, s.State, fmt.Sprintf("%d/%d", s.Running, s.Processes), s.Replicas, s.Nodes, pid(s.Supervisor), s.Dir)
				}
			})
		},
	}
}

func pid(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
