package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab"
)

const processHelp = "\n\nPROCESS is leader, shm1, front, node/blade1 or vm/blade1."

// processVerb makes a verb that acts on one process of the shelf.
func (a *app) processVerb(use, short, long, past string, act func(context.Context, *lab.Lab, string) (string, error)) *cobra.Command {
	return &cobra.Command{
		Use:               use + " PROCESS",
		Short:             short,
		Long:              long + processHelp,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeProcesses,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.lab()
			if err != nil {
				return err
			}
			name, err := act(cmd.Context(), l, args[0])
			if err != nil {
				return err
			}
			a.say("%s %s", name, past)
			return nil
		},
	}
}

func (a *app) killVerb() *cobra.Command {
	return a.processVerb("kill", "Kill a process (SIGKILL); it stays down until start",
		"Kill a process of the shelf by SIGKILL. It stays down until midplane start.", "is killed",
		func(ctx context.Context, l *lab.Lab, what string) (string, error) { return l.Kill(ctx, what) })
}

func (a *app) stopVerb() *cobra.Command {
	return a.processVerb("stop", "Make a process stand still (SIGSTOP)",
		"Make a process of the shelf stand still by SIGSTOP, until midplane resume.", "stands still",
		func(ctx context.Context, l *lab.Lab, what string) (string, error) { return l.Stop(ctx, what) })
}

func (a *app) resumeVerb() *cobra.Command {
	return a.processVerb("resume", "Let a stopped process go on (SIGCONT)",
		"Let a process that midplane stop made stand still go on, by SIGCONT.", "goes on",
		func(ctx context.Context, l *lab.Lab, what string) (string, error) { return l.Resume(ctx, what) })
}

func (a *app) startVerb() *cobra.Command {
	return a.processVerb("start", "Start a killed process, or a VM that is off",
		"Start a process that midplane kill killed, or a VM that is off.", "runs",
		func(ctx context.Context, l *lab.Lab, what string) (string, error) {
			exe, err := os.Executable()
			if err != nil {
				return "", err
			}
			return l.Start(ctx, what, exe, a.say)
		})
}
