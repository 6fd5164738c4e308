package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/midplane-project/midplane/node/power/agent"
	"github.com/midplane-project/midplane/node/power/agent/agenttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func client(t *testing.T, a *agenttest.Agent) *agent.Client {
	t.Helper()
	c := agent.New(a.Path(), 0)
	t.Cleanup(func() { c.Close() })
	return c
}

// upper prints its input in capitals and its arguments on stderr, and exits with the number of arguments.
func upper(args []string, stdin []byte) ([]byte, []byte, int) {
	return bytes.ToUpper(stdin), []byte(strings.Join(args, " ")), len(args)
}

func TestExec(t *testing.T) {
	a := agenttest.Start(t)
	a.Install("/bin/upper", upper)
	got, err := client(t, a).Exec(t.Context(), agent.Command{
		Path: "/bin/upper", Args: []string{"a", "b c"}, Stdin: []byte("text\n"),
	})
	if err != nil || got.ExitCode != 2 || string(got.Stdout) != "TEXT\n" || string(got.Stderr) != "a b c" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestExecOfMissingProgramIsRefused(t *testing.T) {
	c := client(t, agenttest.Start(t))
	_, err := c.Exec(t.Context(), agent.Command{Path: "/bin/none"})
	var refused *agent.Error
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "/bin/none") {
		t.Errorf("err = %v", err)
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
}

func TestConcurrentExecs(t *testing.T) {
	a := agenttest.Start(t)
	a.Install("upper", upper)
	c := client(t, a)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			in := fmt.Sprintf("job %d", i)
			got, err := c.Exec(t.Context(), agent.Command{Path: "upper", Stdin: []byte(in)})
			if err != nil || string(got.Stdout) != strings.ToUpper(in) {
				t.Errorf("%s: %q, %v", in, got.Stdout, err)
			}
		})
	}
	wg.Wait()
}

func TestStaleBytesAreThrownAway(t *testing.T) {
	for name, stale := range map[string]string{
		"a whole answer":          "{\"return\": {\"pid\": 77}}\n",
		"half an answer":          "{\"return\": {\"exitcode\"",
		"an old synchronisation":  "\xff{\"return\": 5}\n",
		"half a synchronisation":  "\xff{\"ret",
		"an error":                "{\"error\": {\"class\": \"GenericError\", \"desc\": \"old\"}}\n",
		"an object of no meaning": "\xff{}\n",
		"sentinels":               "\xff\xff\xff",
	} {
		t.Run(name, func(t *testing.T) {
			a := agenttest.Start(t)
			a.Install("upper", upper)
			a.Leave(stale)
			got, err := client(t, a).Exec(t.Context(), agent.Command{Path: "upper", Stdin: []byte("x")})
			if err != nil || string(got.Stdout) != "X" {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestAbandonedRequestTakesItsConnection(t *testing.T) {
	a := agenttest.Start(t)
	c := client(t, a)
	a.Mute("guest-ping", true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("muted ping: %v", err)
	}
	a.Mute("guest-ping", false)
	a.Leave("{\"error\": {\"class\": \"GenericError\", \"desc\": \"late answer\"}}\n")
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("next ping: %v", err)
	}
	syncs := 0
	for _, call := range a.Calls() {
		if call == "guest-sync-delimited" {
			syncs++
		}
	}
	if syncs != 2 {
		t.Errorf("%d synchronisations, want one per connection: %q", syncs, a.Calls())
	}
}

func TestNoAgent(t *testing.T) {
	missing := agent.New(filepath.Join(t.TempDir(), "none"), 0)
	defer missing.Close()
	if err := missing.Ping(t.Context()); !errors.Is(err, agent.ErrNoAgent) {
		t.Errorf("no socket: %v", err)
	}
	a := agenttest.Start(t)
	a.Mute("guest-sync-delimited", true)
	silent := agent.New(a.Path(), 50*time.Millisecond)
	defer silent.Close()
	if _, err := silent.Exec(t.Context(), agent.Command{Path: "upper"}); !errors.Is(err, agent.ErrNoAgent) {
		t.Errorf("silent agent: %v", err)
	}
	if slices.Contains(a.Calls(), "guest-exec") {
		t.Error("a command was sent before the agent had shown itself")
	}
}

func TestClosedClient(t *testing.T) {
	c := agent.New(agenttest.Start(t).Path(), 0)
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Close()
	c.Close()
	if err := c.Ping(t.Context()); !errors.Is(err, agent.ErrClosed) {
		t.Errorf("err = %v", err)
	}
}

func TestCopyBothWays(t *testing.T) {
	for _, size := range []int{0, 1, 64 << 10, 64<<10 + 1, 300_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			a := agenttest.Start(t)
			c := client(t, a)
			want := bytes.Repeat([]byte{0, 0xFF, '\n', 7}, size/4+1)[:size]
			if err := c.CopyTo(t.Context(), bytes.NewReader(want), "/tmp/f"); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(a.ReadFile("/tmp/f"), want) {
				t.Fatal("the guest has other bytes")
			}
			var back bytes.Buffer
			if err := c.CopyFrom(t.Context(), "/tmp/f", &back); err != nil || !bytes.Equal(back.Bytes(), want) {
				t.Errorf("%d bytes back, %v", back.Len(), err)
			}
			if n := a.OpenHandles(); n != 0 {
				t.Errorf("%d handles left open", n)
			}
		})
	}
}

func TestCopyErrorsCloseTheGuestFile(t *testing.T) {
	a := agenttest.Start(t)
	c := client(t, a)
	if err := c.CopyFrom(t.Context(), "/none", io.Discard); err == nil || !strings.Contains(err.Error(), "/none") {
		t.Errorf("missing file: %v", err)
	}
	broken := errors.New("disk gone")
	if err := c.CopyTo(t.Context(), io.MultiReader(strings.NewReader("x"), failing{broken}), "/f"); !errors.Is(err, broken) {
		t.Errorf("broken source: %v", err)
	}
	if n := a.OpenHandles(); n != 0 {
		t.Errorf("%d handles left open", n)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestShutdown(t *testing.T) {
	a := agenttest.Start(t)
	a.Mute("guest-shutdown", true) // success is silence
	c := client(t, a)
	if err := c.Shutdown(t.Context(), agent.PowerDown); err != nil {
		t.Errorf("silent agent: %v", err)
	}
	a.Mute("guest-shutdown", false)
	var refused *agent.Error
	if err := c.Shutdown(t.Context(), agent.Reboot); !errors.As(err, &refused) {
		t.Errorf("refusing agent: %v", err)
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
