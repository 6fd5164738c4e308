//go:build e2e

package attack

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/midplane-project/midplane/node"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

// daemon is midplane node in a process of its own.
type daemon struct {
	t   *testing.T
	cmd *exec.Cmd
	dir string
}

// program is the midplane under test.
func program(t *testing.T) string {
	t.Helper()
	if bin := os.Getenv("MIDPLANE_BIN"); bin != "" {
		return bin
	}
	bin := filepath.Join(t.TempDir(), "midplane")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/midplane-project/midplane/cmd/midplane").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	return bin
}

// startDaemon starts a node in a directory, and returns when its doors are open.
func startDaemon(t *testing.T, bin, dir, lan string) *daemon {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	d := &daemon{t: t, dir: dir}
	d.cmd = exec.Command(bin, "node", "--standalone", "--name", "lone", "--dir", filepath.Join(dir, "state"),
		"--vm", "unix:"+filepath.Join(dir, "vm"), "--lan", lan, "--log-level", "debug")
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if d.cmd.ProcessState == nil {
			_ = d.cmd.Process.Kill()
			_ = d.cmd.Wait()
		}
	})
	g := vmtest.New(vmtest.Options{})
	defer g.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := g.Dial(ctx, "unix", filepath.Join(dir, "vm")); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *daemon) stop() {
	d.t.Helper()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	if err := d.cmd.Wait(); err != nil {
		d.t.Error(err)
	}
}

// memory counts how often a text stands in what the process may write.
func (d *daemon) memory(text string) (n int) {
	d.t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	defer mem.Close()
	read := 0
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") {
			continue
		}
		part := make([]byte, min(to-from, 256<<20))
		if k, err := mem.ReadAt(part, from); err == nil || k > 0 {
			read += k
			n += bytes.Count(part[:k], []byte(text))
		}
	}
	if read < 1<<20 {
		d.t.Fatalf("only %d bytes of memory could be read", read)
	}
	return n
}

// S9: when those who logged in have gone, their passwords are not in the
// memory of the process any more.
func TestAttackS9Memory(t *testing.T) {
	bin, dir, lan := program(t), shortDir(t), freePort(t)
	startDaemon(t, bin, dir, lan).stop() // this start makes the password
	text, err := os.ReadFile(filepath.Join(dir, "state", node.LANPasswordFile))
	if err != nil {
		t.Fatal(err)
	}
	who := door{"lone", lan, node.LANUser, strings.TrimSpace(string(text))}
	d := startDaemon(t, bin, dir, lan)
	for range 3 {
		if out, err := who.ipmitool("user", "list", "1").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if status := who.stranger(t).begin(); status != 0 { // and no further
			t.Fatalf("RAKP 2: %02x", status)
		}
		guess := who.stranger(t)
		guess.door.password = "a wrong password"
		if got := guess.logIn(); got != 0x0F {
			t.Fatalf("a wrong password: %02x", got)
		}
	}
	if n := d.memory(who.password); n > 0 {
		t.Errorf("the password is in memory %d times", n)
	}
	if d.memory(node.LANUser) == 0 {
		t.Error("this test finds nothing that is in memory")
	}
	d.stop()
	said, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil || !bytes.Contains(said, []byte("LAN door open")) || bytes.Contains(said, []byte(who.password)) {
		t.Errorf("log: %v, tells the password: %v", err, bytes.Contains(said, []byte(who.password)))
	}
}
