package qmp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/midplane-project/midplane/node/power/qmp"
	"github.com/midplane-project/midplane/node/power/qmp/qmptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func dial(t *testing.T, s *qmptest.Server) *qmp.Client {
	t.Helper()
	c, err := qmp.Dial(t.Context(), s.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestHelpersSendTheirCommand(t *testing.T) {
	for _, tt := range []struct {
		command string
		call    func(*qmp.Client, context.Context) error
	}{
		{"stop", (*qmp.Client).Stop},
		{"cont", (*qmp.Client).Cont},
		{"system_reset", (*qmp.Client).SystemReset},
		{"system_powerdown", (*qmp.Client).Powerdown},
		{"inject-nmi", (*qmp.Client).InjectNMI},
		{"quit", (*qmp.Client).Quit},
		{"set-action", func(c *qmp.Client, ctx context.Context) error {
			return c.SetAction(ctx, qmp.Actions{Shutdown: "pause"})
		}},
	} {
		t.Run(tt.command, func(t *testing.T) {
			s := qmptest.Start(t)
			c := dial(t, s)
			if err := tt.call(c, t.Context()); err != nil {
				t.Fatal(err)
			}
			if want := []string{"qmp_capabilities", tt.command}; !slices.Equal(s.Calls(), want) {
				t.Errorf("calls %q, want %q", s.Calls(), want)
			}
		})
	}
}

func TestQueries(t *testing.T) {
	s := qmptest.Start(t)
	var asked json.RawMessage
	s.Handle("qom-get", func(a json.RawMessage) (any, error) { asked = a; return true, nil })
	c := dial(t, s)
	if v := c.Version(); v.String() != "7.2.22" || !v.AtLeast(7, 2) || v.AtLeast(7, 3) || v.AtLeast(9, 2) {
		t.Errorf("version %v", v)
	}
	if st, err := c.QueryStatus(t.Context()); err != nil || st.Status != "prelaunch" || st.Running {
		t.Errorf("QueryStatus = %+v, %v", st, err)
	}
	if id, err := c.QueryUUID(t.Context()); err != nil || id != qmptest.DefaultUUID {
		t.Errorf("QueryUUID = %q, %v", id, err)
	}
	up, err := c.ChardevConnected(t.Context(), "ipmi0")
	if err != nil || !up || string(asked) != `{"path":"/chardevs/ipmi0","property":"connected"}` {
		t.Errorf("ChardevConnected = %v, %v, asked %s", up, err, asked)
	}
	if pid, err := c.PeerPID(); err != nil || pid != os.Getpid() {
		t.Errorf("PeerPID = %d, %v", pid, err)
	}
}

// boot_set answers in words, also when it refuses.
func TestBootSet(t *testing.T) {
	s := qmptest.Start(t)
	var asked json.RawMessage
	said := "boot device list now set to nc\r\n"
	s.Handle("human-monitor-command", func(a json.RawMessage) (any, error) { asked = a; return said, nil })
	c := dial(t, s)
	if err := c.BootSet(t.Context(), "nc"); err != nil || string(asked) != `{"command-line":"boot_set nc"}` {
		t.Errorf("BootSet = %v, asked %s", err, asked)
	}
	said = "no function defined to set boot device list for this architecture\r\n"
	if err := c.BootSet(t.Context(), "nc"); err == nil || !strings.Contains(err.Error(), "no function defined") {
		t.Errorf("err = %v", err)
	}
}

func TestRefusalIsTyped(t *testing.T) {
	c := dial(t, qmptest.Start(t))
	err := c.Execute(t.Context(), "no-such", nil, nil)
	var refusal *qmp.Error
	if !errors.As(err, &refusal) || refusal.Class != "GenericError" || !strings.Contains(err.Error(), "no-such") {
		t.Errorf("err = %v", err)
	}
}

func TestConcurrentCallersGetTheirOwnReply(t *testing.T) {
	s := qmptest.Start(t)
	s.Handle("echo", func(a json.RawMessage) (any, error) { return a, nil })
	c := dial(t, s)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			var got struct{ N int }
			if err := c.Execute(t.Context(), "echo", map[string]int{"N": i}, &got); err != nil || got.N != i {
				t.Errorf("caller %d got %d, %v", i, got.N, err)
			}
		})
	}
	wg.Wait()
}

func TestEventsReachEverySubscriber(t *testing.T) {
	s := qmptest.Start(t)
	c := dial(t, s)
	a, b := c.Subscribe(4), c.Subscribe(4)
	at := time.Unix(1700000000, 5000)
	s.SetClock(at)
	s.Emit("SHUTDOWN", map[string]any{"guest": true, "reason": "guest-shutdown"})
	for _, sub := range []*qmp.Events{a, b} {
		e := <-sub.C()
		var d struct {
			Guest  bool
			Reason string
		}
		if err := e.Decode(&d); err != nil || e.Name != "SHUTDOWN" || !e.Time.Equal(at) || !d.Guest || d.Reason != "guest-shutdown" {
			t.Errorf("event %+v %+v %v", e, d, err)
		}
	}
	s.Drop()
	if _, ok := <-a.C(); ok {
		t.Error("subscription outlived its connection")
	}
}

func TestLostConnectionReleasesCallers(t *testing.T) {
	s := qmptest.Start(t)
	s.Handle("hang", func(json.RawMessage) (any, error) { s.Drop(); return nil, nil })
	c := dial(t, s)
	if err := c.Execute(t.Context(), "hang", nil, nil); !errors.Is(err, qmp.ErrClosed) {
		t.Errorf("err = %v, want ErrClosed", err)
	}
	<-c.Done()
	if err := c.Stop(t.Context()); !errors.Is(err, qmp.ErrClosed) || c.Err() == nil {
		t.Errorf("later call: %v; Err %v", err, c.Err())
	}
}

func TestCallerGivesUpAndLateReplyIsDropped(t *testing.T) {
	s := qmptest.Start(t)
	asked, release := make(chan struct{}), make(chan struct{})
	s.Handle("slow", func(json.RawMessage) (any, error) { close(asked); <-release; return "late", nil })
	c := dial(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Execute(ctx, "slow", nil, nil) }()
	<-asked
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	close(release)
	if st, err := c.QueryStatus(t.Context()); err != nil || st.Status != "prelaunch" {
		t.Errorf("next call got %+v, %v", st, err)
	}
}

// A second client of QEMU waits in the listener's backlog and sees no greeting.
func TestSilentMonitorTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		near, far := net.Pipe()
		defer far.Close()
		if _, err := qmp.New(ctx, near); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
	})
}

func TestBadGreetings(t *testing.T) {
	for name, line := range map[string]string{
		"not json":     "SSH-2.0-OpenSSH_9.2\r\n",
		"no greeting":  "{\"return\": {}}\r\n",
		"cut off":      "{\"QMP\": ",
		"closed":       "",
		"refused caps": "{\"QMP\": {}}\r\n{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": 0}\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			go func() {
				fmt.Fprint(far, line)
				if name == "refused caps" {
					far.Read(make([]byte, 256))
				}
				far.Close()
			}()
			if c, err := qmp.New(t.Context(), near); err == nil {
				c.Close()
				t.Error("accepted")
			}
		})
	}
}
