package supervise

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
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
	default:
		return // the tests themselves
	}
	os.Stdout.WriteString("ready\n")
	select {}
}
