//go:build e2e

package guest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/midplane-project/midplane/deploy/guest"
)

// patience is how long a guest may take for one step on a busy machine. Nothing is
// measured by it.
const patience = 6 * time.Minute

// vm is a QEMU running the lab guest, with its console, its monitor and its
// guest agent.
type vm struct {
	t       *testing.T
	console *console
	qmp     *jsonPipe
	agent   *jsonPipe
	exited  chan error
	input   net.Conn
}

// startVM starts QEMU under TCG; it is killed with the test, or after ten
// minutes.
func startVM(t *testing.T, img guest.Image, cmdline string, devices ...string) *vm {
	t.Helper()
	dir := t.TempDir()
	sock := func(name string) string { return filepath.Join(dir, name) }
	args := []string{
		"-accel", "tcg", "-m", "256", "-display", "none", "-nodefaults",
		"-kernel", img.Kernel, "-initrd", img.Initrd, "-append", "no_timer_check console=ttyS0 quiet " + cmdline,
		"-chardev", "socket,id=console,server=on,wait=off,path=" + sock("console"), "-serial", "chardev:console",
		"-qmp", "unix:" + sock("qmp") + ",server=on,wait=off", "-S",
		"-device", "virtio-serial-pci",
		"-chardev", "socket,id=agent,server=on,wait=off,path=" + sock("agent"),
		"-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", append(args, devices...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	v := &vm{t: t, exited: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := cmd.Wait()
		if err != nil {
			err = fmt.Errorf("qemu: %w: %s", err, stderr.String())
		}
		v.exited <- err
	}()
	t.Cleanup(func() { cancel(); <-done })

	v.input = dial(t, sock("console"))
	v.console = record(t, v.input)
	v.qmp = newJSONPipe(t, dial(t, sock("qmp")))
	v.agent = newJSONPipe(t, dial(t, sock("agent")))
	v.qmp.call("qmp_capabilities", nil)
	v.qmp.call("cont", nil)
	return v
}

// dial waits for QEMU to listen.
func dial(t *testing.T, path string) net.Conn {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		conn, err := net.Dial("unix", path)
		if err == nil {
			t.Cleanup(func() { conn.Close() })
			return conn
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // QEMU says nothing when it listens
	}
}

// exec runs a command through the guest agent and returns its output.
func (v *vm) exec(path string, args ...string) (string, int) {
	v.t.Helper()
	var started struct{ PID int }
	v.agent.callInto(&started, "guest-exec", map[string]any{"path": path, "arg": append([]string{}, args...), "capture-output": true})
	for {
		var status struct {
			Exited           bool
			ExitCode         int
			OutData, ErrData string
		}
		raw := v.agent.call("guest-exec-status", map[string]any{"pid": started.PID})
		raw = bytes.ReplaceAll(raw, []byte("out-data"), []byte("OutData"))
		raw = bytes.ReplaceAll(raw, []byte("err-data"), []byte("ErrData"))
		if err := json.Unmarshal(raw, &status); err != nil {
			v.t.Fatal(err)
		}
		if status.Exited {
			out, _ := base64.StdEncoding.DecodeString(status.OutData)
			errs, _ := base64.StdEncoding.DecodeString(status.ErrData)
			return string(out) + string(errs), status.ExitCode
		}
		time.Sleep(50 * time.Millisecond) // the agent has no wait
	}
}

// waitExit waits for QEMU to end by itself.
func (v *vm) waitExit() {
	v.t.Helper()
	select {
	case err := <-v.exited:
		if err != nil {
			v.t.Fatal(err)
		}
	case <-time.After(patience):
		v.t.Fatalf("QEMU still runs; console:\n%s", v.console)
	}
}

// console records what a guest prints.
type console struct {
	t    *testing.T
	mu   sync.Mutex
	text []byte
	more chan struct{}
}

func record(t *testing.T, conn net.Conn) *console {
	c := &console{t: t, more: make(chan struct{}, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			c.mu.Lock()
			c.text = append(c.text, buf[:n]...)
			c.mu.Unlock()
			select {
			case c.more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
		if t.Failed() {
			t.Logf("console:\n%s", c)
		}
	})
	return c
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.ReplaceAll(string(c.text), "\r", "")
}

// expect waits until the console shows the text n times.
func (c *console) expect(text string, n int) {
	c.t.Helper()
	deadline := time.After(patience)
	for strings.Count(c.String(), text) < n {
		select {
		case <-c.more:
		case <-deadline:
			c.t.Fatalf("console never said %q", text)
		}
	}
}

// jsonPipe is a QMP or guest agent connection: a request, then its answer, with
// events in between.
type jsonPipe struct {
	t      *testing.T
	conn   net.Conn
	in     *bufio.Scanner
	events []string
}

func newJSONPipe(t *testing.T, conn net.Conn) *jsonPipe {
	return &jsonPipe{t: t, conn: conn, in: bufio.NewScanner(conn)}
}

func (p *jsonPipe) call(command string, args any) json.RawMessage {
	p.t.Helper()
	request := map[string]any{"execute": command}
	if args != nil {
		request["arguments"] = args
	}
	line, err := json.Marshal(request)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.conn.Write(append(line, '\n')); err != nil {
		p.t.Fatal(err)
	}
	for {
		reply := p.read()
		if reply.Error != nil {
			p.t.Fatalf("%s: %s", command, reply.Error)
		}
		if reply.Return != nil {
			return reply.Return
		}
	}
}

func (p *jsonPipe) callInto(into any, command string, args any) {
	p.t.Helper()
	if err := json.Unmarshal(p.call(command, args), into); err != nil {
		p.t.Fatal(err)
	}
}

// event waits for an event, taking those already seen into account.
func (p *jsonPipe) event(name string) {
	p.t.Helper()
	for !slices.Contains(p.events, name) {
		p.read()
	}
}

type jsonReply struct {
	Return, Error json.RawMessage
	Event         string
}

func (p *jsonPipe) read() jsonReply {
	p.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(patience))
	if !p.in.Scan() {
		p.t.Fatalf("connection ended: %v", p.in.Err())
	}
	var reply jsonReply
	if err := json.Unmarshal(p.in.Bytes(), &reply); err != nil {
		p.t.Fatalf("%s: %v", p.in.Text(), err)
	}
	if reply.Event != "" {
		p.events = append(p.events, reply.Event)
	}
	return reply
}
