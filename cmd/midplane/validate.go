package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/deploy/lab/topology"
)

func (a *app) validateVerb() *cobra.Command {
	file := topology.FileName
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check a shelf.yaml",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := lab.LoadFile(file)
			if err != nil {
				return err
			}
			hints, err := topology.Hints(file)
			if err != nil {
				return err
			}
			for _, hint := range hints {
				fmt.Fprintln(a.err, "midplane: "+hint)
			}
			a.say("%s: shelf %s, %d replicas, %d nodes", file, s.Name, s.Replicas, len(s.Nodes))
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", file, "the shelf's `FILE`")
	return cmd
}
