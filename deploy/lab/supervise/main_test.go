package supervise

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/midplane-project/midplane/deploy/lab/proc"
)

// childEnv makes the test binary a child that a supervisor starts.
const childEnv = "MIDPLANE_SUPERVISE_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" && len(os.Args) > 1 {
		fakeDaemon(os.Args[1])
	}
	os.Setenv(childEnv, "1")
	os.Setenv("GORACE", "atexit_sleep_ms=0") // or every child takes a second to end
	goleak.VerifyTestMain(m)
}

// fakeDaemon ends by itself after a minute at the latest.
func fakeDaemon(how string) {
	go func() {
		time.Sleep(time.Minute)
		os.Exit(3)
	}()
	switch how {
	case "daemon":
	case "ignore":
		signal.Ignore(syscall.SIGTERM)
	case "crash":
		os.Exit(7)
	case "heir":
		signal.Ignore(syscall.SIGTERM) // only a successor ends it
		endPredecessor()
	default:
		return // the tests themselves
	}
	os.Stdout.WriteString("ready\n")
	select {}
}

// endPredecessor ends the process with this one's command line that was there before.
func endPredecessor() {
	ids, err := proc.Find(func(argv []string) bool { return len(argv) > 1 && slices.Equal(argv[1:], os.Args[1:]) })
	if err != nil {
		os.Exit(4)
	}
	for _, id := range ids {
		if id.PID != os.Getpid() {
			_ = syscall.Kill(id.PID, syscall.SIGKILL)
		}
	}
}
