package main

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/node"
)

// daemonFlags are what every daemon has.
type daemonFlags struct {
	config   string
	logLevel string
	logJSON  bool
}

func (f *daemonFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.config, "config", "", "read the configuration from `FILE` (JSON); flags go before it")
	cmd.Flags().StringVar(&f.logLevel, "log-level", "warn", "debug, info, warn or error")
	cmd.Flags().BoolVar(&f.logJSON, "log-json", false, "log JSON lines")
}

func (f *daemonFlags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, problem.Usagef("--log-level %q: want debug, info, warn or error", f.logLevel)
	}
	opt := &slog.HandlerOptions{Level: level}
	if f.logJSON {
		return slog.New(slog.NewJSONHandler(w, opt)), nil
	}
	return slog.New(slog.NewTextHandler(w, opt)), nil
}

// unread is why the file of --config could not be read.
func unread(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return problem.NotFoundf("", "--config: %v", err)
	}
	return problem.Usagef("%v", err)
}

// blame names what a check of the configuration found as the caller did: by the
// flag where he gave it or could have, else by the file and its key. Flags are
// by the key with which the check's lines begin.
func (f *daemonFlags) blame(cmd *cobra.Command, err error, flags map[string]string) error {
	if err == nil {
		return nil
	}
	var lines []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		lines = append(lines, f.blameLine(cmd, line, flags))
	}
	return problem.Usagef("%s", strings.Join(lines, "\n"))
}

func (f *daemonFlags) blameLine(cmd *cobra.Command, line string, flags map[string]string) string {
	for key, flag := range flags {
		rest, ok := strings.CutPrefix(line, key)
		if ok && strings.IndexAny(rest, ":[") == 0 && (f.config == "" || cmd.Flags().Changed(flag)) {
			return "--" + flag + strings.ReplaceAll(rest, "unsafe_suites", "--lan-unsafe-suites")
		}
	}
	if f.config != "" {
		line = f.config + ": " + line
	}
	return line
}

// frugal lets a daemon's heap grow by less before it is collected, unless GOGC
// says otherwise: what a daemon keeps is small beside what it makes and drops.
func frugal() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(30)
	}
}

// fewProcessors runs a daemon's goroutines on one processor, unless GOMAXPROCS
// says otherwise. A guest has one request outstanding at its controller, which
// is passed from goroutine to goroutine: waking another processor for each
// step costs a bridged request a fifth of its time, and with 16 guests in one
// process a second processor adds nothing.
//
// An SSIF guest cannot wait while a goroutine is in an fsync, and the runtime
// may take milliseconds to take the only processor from it (measured: 1 % of
// the answers after more than 2 ms; with two processors, 0.5 ms). So there are
// two where one of the nodes has such a guest.
func fewProcessors(nodes ...node.Config) {
	if os.Getenv("GOMAXPROCS") != "" {
		return
	}
	n := 1
	if slices.ContainsFunc(nodes, func(c node.Config) bool { return c.Interface == "ssif" }) {
		n = 2
	}
	runtime.GOMAXPROCS(n)
}

// notify tells systemd how the daemon is (sd_notify(3)); without systemd it
// does nothing.
func notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if path[0] == '@' {
		path = "\x00" + path[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state)) // systemd's own time limit tells when it was lost
}
