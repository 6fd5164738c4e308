package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/ipmb/pcap"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const captureMode = 0o600

// wiresharkArgs read a capture from standard input, at once, and show the
// messages inside the bus frames.
var wiresharkArgs = []string{"-k", "-i", "-", "-o", "ipmi.dissect_bus_commands:TRUE"}

func (a *app) captureVerb() *cobra.Command {
	var limits watchLimits
	var file string
	cmd := &cobra.Command{
		Use:   "capture [TARGET...]",
		Short: "Record messages for Wireshark",
		Long: `Record what midplane trace shows as a pcap file with link type 260, which Wireshark
decodes. Passwords and keys are masked. Without -w Wireshark is started.`,
		Example: `  midplane capture -w shelf.pcap --for 10s
  midplane capture blade1 -w - | tshark -r - -o ipmi.dissect_bus_commands:TRUE`,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.lab()
			if err != nil {
				return err
			}
			ctx, cancel := limited(cmd.Context(), limits.during)
			defer cancel()
			out, finish, err := a.captureOutput(file)
			if err != nil {
				return err
			}
			n, err := a.capture(ctx, l, args, limits.count, out)
			err = errors.Join(err, finish())
			if file != "" && err == nil {
				fmt.Fprintf(a.err, "%d messages\n", n)
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&file, "write", "w", "", "write to `FILE`, - for standard output")
	limits.add(cmd)
	return cmd
}

// captureOutput opens where the capture goes; finish closes it.
func (a *app) captureOutput(file string) (out io.Writer, finish func() error, err error) {
	switch file {
	case "":
		return startWireshark()
	case "-":
		if f, ok := a.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			return nil, nil, problem.Usagef("a capture is no text: send it to a file or a program, such as | wireshark -k -i -")
		}
		return a.out, func() error { return nil }, nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, captureMode)
	if err != nil {
		return nil, nil, &problem.Error{Code: problem.Failed, What: "the capture cannot be written", Why: err}
	}
	return f, f.Close, nil
}

// startWireshark starts Wireshark reading from a pipe. It stays open when the
// capture ends: its person has not looked at everything yet.
func startWireshark() (io.Writer, func() error, error) {
	path, err := exec.LookPath("wireshark")
	if err != nil {
		return nil, nil, &problem.Error{
			Code: problem.NotFound, What: "Wireshark is not installed here", Why: err,
			Do: "write a file with -w FILE, or install wireshark",
		}
	}
	cmd := exec.Command(path, wiresharkArgs...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is for the capture
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start Wireshark: %w", err)
	}
	return in, func() error { return errors.Join(in.Close(), cmd.Process.Release()) }, nil
}

// capture writes until ctx ends and gives the number of messages.
func (a *app) capture(ctx context.Context, l *lab.Lab, targets []string, count int, out io.Writer) (n int, err error) {
	w, err := startWatch(ctx, l, targets)
	if err != nil {
		return 0, err
	}
	file, err := pcap.NewWriter(out)
	if err != nil {
		return 0, err
	}
	err = w.run(ctx, count, func(e seen) error {
		n++
		return writeEntry(file, e)
	}, a.warn)
	if errors.Is(err, syscall.EPIPE) {
		return n, nil // Wireshark was closed
	}
	return n, err
}

func writeEntry(w *pcap.Writer, e seen) error {
	at := time.Unix(0, e.Time)
	switch e.Kind {
	case v1.TraceKind_TRACE_KIND_IPMB:
		return w.Frame(at, planeOf(e.Plane), e.ToController, e.Bytes)
	case v1.TraceKind_TRACE_KIND_SYSTEM:
		return w.System(at, e.ToController, e.Bytes)
	}
	return w.Text(at, e.where+": "+e.Note)
}
