package main

import (
	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab"
)

// completeShelves offers the shelves on this machine.
func (a *app) completeShelves(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	h, err := lab.OpenHome()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names, err := h.Names()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeTargets offers what a TARGET may be, for the first argument.
func (a *app) completeTargets(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	l, err := a.lab()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := []string{"shelf"}
	for _, n := range l.Topology.Nodes {
		names = append(names, n.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeProcesses offers what kill, stop, resume and start may act on.
func (a *app) completeProcesses(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	l, err := a.lab()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := []string{"leader"}
	for _, e := range l.ReplicaAPIs() {
		names = append(names, e.Name)
	}
	if l.ManagerLAN().IsValid() {
		names = append(names, "front")
	}
	for _, n := range l.Topology.Nodes {
		names = append(names, "node/"+n.Name)
		if !n.QEMU.None {
			names = append(names, "vm/"+n.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
