package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab"
)

// followEvery is how often followed logs are looked at.
const followEvery = 200 * time.Millisecond

func (a *app) logsVerb() *cobra.Command {
	var console, follow bool
	cmd := &cobra.Command{
		Use:   "logs [TARGET]",
		Short: "Print what the daemons log, or what VMs print on their consoles",
		Long: `Print logs: of a node or the shelf, of one replica (shm1), of the front, of the
supervisor, of QEMU (vm/NODE), or of all. With --console, what a VM has printed on its serial
console, which is always recorded.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.lab()
			if err != nil {
				return err
			}
			find := l.Logs
			if console {
				find = l.Consoles
			}
			target := ""
			if len(args) > 0 {
				target = args[0]
			}
			files, err := find(target)
			if err != nil {
				return err
			}
			return a.printLogs(cmd.Context(), files, follow)
		},
	}
	cmd.Flags().BoolVar(&console, "console", false, "the VM's serial console")
	cmd.Flags().BoolVar(&follow, "follow", false, "go on printing what comes")
	return cmd
}

// printLogs prints logs, those of several with their names before each line.
func (a *app) printLogs(ctx context.Context, files []lab.LogFile, follow bool) error {
	logs := make([]*logReader, 0, len(files))
	for _, f := range files {
		r := &logReader{path: f.Path, w: a.out}
		if len(files) > 1 {
			p := &prefixWriter{w: a.out, prefix: f.Name + " | ", fresh: true}
			r.w, r.end = p, p.end
		}
		logs = append(logs, r)
	}
	for _, r := range logs {
		if err := r.whole(); err != nil {
			return err
		}
	}
	for follow {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followEvery):
		}
		for _, r := range logs {
			if err := r.more(); err != nil {
				return err
			}
		}
	}
	return nil
}

// logReader prints a log that is turned over from time to time.
type logReader struct {
	path string
	at   int64
	w    io.Writer
	end  func() error // ends a line that is not finished; may be nil
}

// whole prints the older file, if there is one, and the log.
func (r *logReader) whole() error {
	old := logReader{path: r.path + ".1", w: r.w}
	err := errors.Join(old.more(), r.more())
	if r.end != nil {
		err = errors.Join(err, r.end())
	}
	return err
}

// more prints what has come since the last time.
func (r *logReader) more() error {
	f, err := os.Open(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < r.at {
		r.at = 0 // turned over
	}
	n, err := io.Copy(r.w, io.NewSectionReader(f, r.at, info.Size()-r.at))
	r.at += n
	return err
}
