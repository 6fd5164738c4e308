package proc

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// childEnv makes the test binary a child that a test starts.
const childEnv = "MIDPLANE_PROC_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" && len(os.Args) > 1 {
		child(os.Args[1])
	}
	os.Setenv(childEnv, "1")
	os.Setenv("GORACE", "atexit_sleep_ms=0") // or every child takes a second to end
	goleak.VerifyTestMain(m)
}

// child ends by itself after a minute at the latest.
func child(how string) {
	go func() {
		time.Sleep(time.Minute)
		os.Exit(3)
	}()
	switch how {
	case "obey":
	case "ignore":
		signal.Ignore(syscall.SIGTERM)
	case "fail":
		fmt.Println("cannot go on")
		os.Exit(7)
	default:
		return // the tests themselves
	}
	fmt.Println("ready")
	select {}
}
