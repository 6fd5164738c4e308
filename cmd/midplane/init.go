package main

import (
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab/topology"
	"github.com/midplane-project/midplane/internal/problem"
)

func (a *app) initVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "init [NAME]",
		Short: "Write a commented shelf.yaml here",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name := topology.BuiltIn().Name
			if len(args) > 0 {
				name = args[0]
			}
			text := topology.Example(name)
			if _, err := topology.Parse(topology.FileName, text); err != nil {
				return err
			}
			f, err := os.OpenFile(topology.FileName, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
			if errors.Is(err, fs.ErrExist) {
				return problem.Refusedf("edit it, or remove it first", "there is a %s here already", topology.FileName)
			}
			if err != nil {
				return err
			}
			_, err = f.Write(text)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
			a.say("%s is written. Start it: midplane up", topology.FileName)
			return nil
		},
	}
}
