package main

import "github.com/spf13/cobra"

// daemonVerbs are the daemons themselves.
func (a *app) daemonVerbs() []*cobra.Command {
	return []*cobra.Command{a.nodeVerb(), a.shelfVerb(), a.frontVerb(), a.compactVerb()}
}
