package main

import "github.com/spf13/cobra"

// dataVerbs look at a running shelf and act on it, through its gRPC APIs.
func (a *app) dataVerbs() []*cobra.Command {
	return []*cobra.Command{
		a.psVerb(), a.inspectVerb(), a.clusterVerb(), a.eventsVerb(), a.selVerb(),
		a.rawVerb(), a.traceVerb(), a.captureVerb(), a.faultVerb(),
		a.consoleVerb(), a.execVerb(), a.cpVerb(), a.ipmiVerb(), a.envVerb(), a.userVerb(),
		a.collectVerb(), a.backupVerb(), a.restoreVerb(), a.tourVerb(),
	}
}
