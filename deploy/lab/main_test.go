package lab

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// fakeEnv makes the test binary the midplane program, and QEMU, that a lab
// starts.
const fakeEnv = "MIDPLANE_LAB_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(fakeEnv) != "" && len(os.Args) > 1 {
		if fake := fakes[os.Args[1]]; fake != nil {
			os.Exit(runFake(fake))
		}
	}
	os.Setenv(fakeEnv, "1")
	os.Setenv("GORACE", "atexit_sleep_ms=0") // or every child takes a second to end
	goleak.VerifyTestMain(m)
}

// fakes are what a lab starts, by the first argument; QEMU's is -name.
var fakes = map[string]func(context.Context, []string) error{
	SupervisorVerb: func(ctx context.Context, args []string) error {
		return Supervise(ctx, args[1], slog.New(slog.NewTextHandler(os.Stderr, nil)))
	},
	"shelf": fakeReplica,
	"node":  fakeNode,
	"front": fakeFront,
	"-name": func(ctx context.Context, _ []string) error { <-ctx.Done(); return nil },
}

// runFake ends on SIGTERM, and after a minute at the latest.
func runFake(fake func(context.Context, []string) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := fake(ctx, os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
