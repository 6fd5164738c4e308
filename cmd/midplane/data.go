package main

import "github.com/spf13/cobra"

// dataVerbs look at a running shelf and act on it, through its gRPC APIs.
func (a *app) dataVerbs() []*cobra.Command {
	return []*cobra.Command{}
}
