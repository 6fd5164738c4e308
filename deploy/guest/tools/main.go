// Command tools is Midplane's own program in the lab guest, where it is
// /usr/bin/midplane-guest. It speaks to /dev/ipmi0 by its ioctls, which is the
// only way for guest software to send IPMB messages and to answer them:
//
//	midplane-guest loop --target 0x20 --for 5s --mix both
//	midplane-guest respond --netfn 0x30 --cmd 0x01
//	midplane-guest send --target 0x84 --lun 2 0x30 0x01 1 2 3
//	midplane-guest raw 6 1
//
// Exit codes: 0 done, 1 something failed or a completion code was not 0, 2 the
// command line is wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const devicePath = "/dev/ipmi0"

// errFailed ends a verb that has already said what failed.
var errFailed = errors.New("failed")

// usageError is a command line that cannot be understood.
type usageError struct{ error }

type verb func(ctx context.Context, args []string, out io.Writer) error

var verbs = map[string]verb{
	"loop":    runLoop,
	"respond": runRespond,
	"send":    runSend,
	"raw":     runRaw,
}

const usage = `usage: midplane-guest VERB [FLAGS]
  loop     keep requests outstanding and count the answers, a JSON line at the end
  respond  answer requests that others send to this guest's software
  send     one request over IPMB
  raw      one request to the local BMC
Flags of a verb: midplane-guest VERB --help`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	os.Exit(report(err, os.Stderr))
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return usageError{errors.New(usage)}
	}
	v, ok := verbs[args[0]]
	if !ok {
		return usageError{fmt.Errorf("unknown verb %q\n%s", args[0], usage)}
	}
	return v(ctx, args[1:], out)
}

// report says what went wrong, unless that has been said, and gives the exit
// code.
func report(err error, w io.Writer) int {
	var wrong usageError
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &wrong):
		fmt.Fprintln(w, "midplane-guest:", err)
		return 2
	case !errors.Is(err, errFailed):
		fmt.Fprintln(w, "midplane-guest:", err)
	}
	return 1
}
