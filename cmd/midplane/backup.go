package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

func (a *app) backupVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Save the replicated state: slots, event logs, SELs, settings",
		Long: `Save the replicated state of the cluster, as the leader has it, to FILE: slots,
event logs, SELs and settings. Certificates and the nodes' own state are not in it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withLeader(cmd.Context(), func(_ *lab.Lab, d daemon) error {
				var n int64
				err := replaceFile(args[0], func(w io.Writer) (err error) {
					n, err = fetchBackup(cmd.Context(), d, w)
					return err
				})
				if err == nil {
					fmt.Fprintf(a.out, "%s: %d bytes from %s\n", args[0], n, d.Name)
				}
				return err
			})
		},
	}
}

func fetchBackup(ctx context.Context, d daemon, w io.Writer) (n int64, err error) {
	stream, err := d.cluster().Backup(ctx, &v1.BackupRequest{})
	if err != nil {
		return 0, d.explain(err)
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, d.explain(err)
		}
		if _, err := w.Write(m.Data); err != nil {
			return n, err
		}
		n += int64(len(m.Data))
	}
}

func (a *app) restoreVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Replace the replicated state by a backup",
		Long: `Replace the replicated state of the whole cluster by that of FILE, which midplane
backup wrote. What was logged since then is lost; save it first.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			return a.withLeader(cmd.Context(), func(_ *lab.Lab, d daemon) error {
				n, err := sendRestore(cmd.Context(), d, f)
				if err == nil {
					fmt.Fprintf(a.out, "%s: %d bytes restored through %s\n", args[0], n, d.Name)
				}
				return err
			})
		},
	}
}

func sendRestore(ctx context.Context, d daemon, r io.Reader) (n int64, err error) {
	stream, err := d.cluster().Restore(ctx)
	if err != nil {
		return 0, d.explain(err)
	}
	buf := make([]byte, cpChunk)
	for {
		got, err := r.Read(buf)
		n += int64(got)
		if got > 0 && stream.Send(&v1.RestoreRequest{Data: buf[:got]}) != nil {
			break // the reason comes with CloseAndRecv
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return n, err
		}
	}
	_, err = stream.CloseAndRecv()
	return n, d.explain(err)
}
