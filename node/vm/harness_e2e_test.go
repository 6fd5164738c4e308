//go:build e2e

package vm_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience is how long QEMU may take on a busy machine. Nothing is measured by it.
const patience = 2 * time.Minute

// qemu is a real QEMU without a disk or an operating system. The test plays
// the guest by way of its monitor, which can write and read I/O ports.
type qemu struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.Writer
	lines  chan string
	events map[string]int
	exited chan error
}

// startQEMU starts one whose chardev is made by the arguments of -chardev socket.
func startQEMU(t *testing.T, chardev string, more ...string) *qemu {
	t.Helper()
	args := []string{
		"-display", "none", "-nodefaults", "-accel", "tcg", "-machine", "pc", "-m", "32",
		"-qmp", "stdio", "-chardev", "socket,id=c," + chardev,
		"-device", "ipmi-bmc-extern,id=b,chardev=c", "-device", "isa-ipmi-kcs,bmc=b",
	}
	cmd := exec.CommandContext(t.Context(), "qemu-system-x86_64", append(args, more...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	q := &qemu{t: t, cmd: cmd, in: in, lines: make(chan string, 100), events: map[string]int{}, exited: make(chan error, 1)}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			q.lines <- s.Text()
		}
		close(q.lines)
		q.exited <- cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		for range q.lines {
		}
	})
	q.execute("qmp_capabilities", nil)
	return q
}

// line gives the next message of the monitor, counting the events.
func (q *qemu) line() map[string]any {
	q.t.Helper()
	select {
	case s, ok := <-q.lines:
		if !ok {
			q.t.Fatal("QEMU has gone")
		}
		var m map[string]any
		if err := json.Unmarshal([]byte(s), &m); err != nil {
			q.t.Fatalf("%q: %v", s, err)
		}
		if e, ok := m["event"].(string); ok {
			q.events[e]++
		}
		return m
	case <-time.After(patience):
		q.t.Fatal("QEMU's monitor is silent")
		return nil
	}
}

func (q *qemu) execute(command string, args map[string]any) any {
	q.t.Helper()
	message := map[string]any{"execute": command}
	if args != nil {
		message["arguments"] = args
	}
	b, err := json.Marshal(message)
	if err != nil {
		q.t.Fatal(err)
	}
	if _, err := q.in.Write(append(b, '\n')); err != nil {
		q.t.Fatal(err)
	}
	for {
		m := q.line()
		if r, ok := m["return"]; ok {
			return r
		}
		if e, ok := m["error"]; ok {
			q.t.Fatalf("%s: %v", b, e)
		}
	}
}

func (q *qemu) waitEvent(name string) {
	q.t.Helper()
	for q.events[name] == 0 {
		q.line()
	}
}

// waitConnected waits until QEMU has its connection to a node.
func (q *qemu) waitConnected() {
	q.t.Helper()
	where := map[string]any{"path": "/chardevs/c", "property": "connected"}
	for began := time.Now(); q.execute("qom-get", where) != true; {
		if time.Since(began) > patience {
			q.t.Fatal("QEMU does not connect")
		}
	}
}

func (q *qemu) hmp(format string, args ...any) string {
	q.t.Helper()
	s, _ := q.execute("human-monitor-command", map[string]any{"command-line": fmt.Sprintf(format, args...)}).(string)
	return s
}

// The KCS interface: data and command/status ports, and what goes over them (IPMI 2.0 §9).
const (
	kcsData, kcsStatus = 0xca2, 0xca3
	kcsStart, kcsEnd   = 0x61, 0x62
	kcsRead            = 0x68
	kcsFull            = 0x01 // the node's byte waits
	kcsBusy            = 0x02 // our byte waits
	kcsReading         = 0x40
	kcsState           = 0xc0
	kcsAttention       = 0x04
)

func (q *qemu) outb(port, v int) { q.t.Helper(); q.hmp("o/b 0x%x 0x%x", port, v) }

func (q *qemu) inb(port int) int {
	q.t.Helper()
	_, hex, _ := strings.Cut(q.hmp("i/b 0x%x", port), "= ")
	v, err := strconv.ParseInt(strings.TrimSpace(hex), 0, 32)
	if err != nil {
		q.t.Fatal(err)
	}
	return int(v)
}

// kcs carries one request through the interface, as a driver does.
func (q *qemu) kcs(request ...byte) []byte {
	q.t.Helper()
	q.put(kcsStatus, kcsStart)
	for i, b := range request {
		if i == len(request)-1 {
			q.put(kcsStatus, kcsEnd)
		}
		q.put(kcsData, int(b))
	}
	return q.finish()
}

// finish reads the answer.
func (q *qemu) finish() (answer []byte) {
	q.t.Helper()
	for q.status()&kcsState == kcsReading {
		answer = append(answer, byte(q.inb(kcsData)))
		q.put(kcsData, kcsRead)
	}
	q.inb(kcsData)
	return answer
}

// put writes a byte and throws away what the interface shows meanwhile.
func (q *qemu) put(port, v int) {
	q.t.Helper()
	q.outb(port, v)
	if s := q.status(); s&kcsFull != 0 && s&kcsState != kcsReading && s&kcsState != 0 {
		q.inb(kcsData)
	}
}

// status waits until the interface is not busy.
func (q *qemu) status() int {
	q.t.Helper()
	for began := time.Now(); ; {
		if s := q.inb(kcsStatus); s&kcsBusy == 0 {
			return s
		}
		if time.Since(began) > patience {
			q.t.Fatal("the interface is wedged")
		}
	}
}

// waitLine waits for the state of the attention bit that the guest sees.
func (q *qemu) waitLine(up bool) {
	q.t.Helper()
	for began := time.Now(); q.inb(kcsStatus)&kcsAttention != 0 != up; {
		if time.Since(began) > patience {
			q.t.Fatalf("attention does not become %v", up)
		}
	}
}
