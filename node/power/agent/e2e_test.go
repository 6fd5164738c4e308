//go:build e2e

package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/node/power/agent"
)

// realAgent runs Debian's qemu-ga on this host, listening on a Unix socket instead of a virtio port.
func realAgent(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "qga")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "a.sock")
	cmd := exec.Command("qemu-ga", "-m", "unix-listen", "-p", path, "-t", dir, "-f", filepath.Join(dir, "pid"))
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (apt install qemu-guest-agent)", err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if c, err := net.Dial("unix", path); err == nil {
			// Leave half a request behind: the next client must not suffer from it.
			c.Write([]byte(`{"execute": "guest-p`))
			c.Close()
			return path
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("qemu-ga did not listen")
	return ""
}

func TestRealAgent(t *testing.T) {
	c := agent.New(realAgent(t), 0)
	defer c.Close()
	got, err := c.Exec(t.Context(), agent.Command{
		Path: "/bin/sh", Args: []string{"-c", "cat; echo $X >&2; exit 7"},
		Env: []string{"X=err", "PATH=/bin:/usr/bin"}, Stdin: []byte("in\n"),
	})
	if err != nil || got.ExitCode != 7 || string(got.Stdout) != "in\n" || string(got.Stderr) != "err\n" {
		t.Errorf("Exec = %+v, %v", got, err)
	}
	if got, err = c.Exec(t.Context(), agent.Command{Path: "/bin/sh", Args: []string{"-c", "kill -9 $$"}}); err != nil || got.Signal != 9 {
		t.Errorf("killed program: %+v, %v", got, err)
	}
	path, want := filepath.Join(t.TempDir(), "f"), bytes.Repeat([]byte("0123456789\xff\n\x00"), 20000)
	if err := c.CopyTo(t.Context(), bytes.NewReader(want), path); err != nil {
		t.Fatal(err)
	}
	var back bytes.Buffer
	if err := c.CopyFrom(t.Context(), path, &back); err != nil || !bytes.Equal(back.Bytes(), want) {
		t.Errorf("%d of %d bytes back, %v", back.Len(), len(want), err)
	}
}

func TestRealAgentEndsAProgramAndItsChildren(t *testing.T) {
	c := agent.New(realAgent(t), 0)
	defer c.Close()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := c.Exec(ctx, agent.Command{Path: "/bin/sh", Args: []string{
			"-c", `cd "$0"; sh -c 'echo $$ >child; sleep 1000; :'; touch next`, dir,
		}})
		done <- err
	}()
	var child int
	until(t, "the child runs", func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, "child"))
		child, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return child != 0
	})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "end it") {
		t.Error(err)
	}
	until(t, "the child has ended", func() bool { return !runs(child) }) // Exec does not wait for it
	if _, err := os.Stat(filepath.Join(dir, "next")); err == nil {
		t.Error("the shell went on when its command was ended")
	}
}

// until waits for what nobody tells of.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// runs is false for a process that is gone, or waits for somebody to take note of its end.
func runs(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && len(line) > 0
}
