// Package agenttest is a fake QEMU guest agent behind a fake virtio-serial port.
//
// It keeps a small file system in memory, "runs" programs that a test registers, and treats its port as QEMU does:
// one client at a time, bytes that nobody read stay for the next client.
package agenttest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// A Program is what a guest executable does: input to outputs and exit code.
type Program func(args []string, stdin []byte) (stdout, stderr []byte, exit int)

// An Agent is one guest's agent.
type Agent struct {
	path     string
	listener *net.UnixListener
	served   chan struct{}

	mu       sync.Mutex
	conn     net.Conn
	stale    []byte
	mute     map[string]bool
	programs map[string]Program
	endless  map[string]func(pid int64)
	running  map[int64]execStatus
	files    map[string][]byte
	open     map[int64]*handle
	last     int64
	calls    []string
}

// Start listens on a short temporary path until the test ends.
func Start(t testing.TB) *Agent {
	t.Helper()
	dir, err := os.MkdirTemp("", "qga")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "agent.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	a := &Agent{
		path: path, listener: l, served: make(chan struct{}),
		mute: make(map[string]bool), programs: make(map[string]Program), endless: make(map[string]func(int64)),
		running: make(map[int64]execStatus), files: make(map[string][]byte), open: make(map[int64]*handle),
	}
	go a.serve()
	t.Cleanup(func() {
		l.Close()
		a.Drop()
		<-a.served
		os.RemoveAll(dir)
	})
	return a
}

// Path is the socket to dial.
func (a *Agent) Path() string { return a.path }

// Leave puts bytes into the pipe for the next client, as an answer to somebody who left.
func (a *Agent) Leave(stale string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stale = append(a.stale, stale...)
}

// Mute makes the agent swallow a command without an answer, or answer it again.
func (a *Agent) Mute(command string, on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mute[command] = on
}

// Drop closes the present connection.
func (a *Agent) Drop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conn != nil {
		a.conn.Close()
	}
}

// Install registers a program under its path.
func (a *Agent) Install(path string, p Program) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.programs[path] = p
}

// Endless registers a program that runs until End. The agent calls begun when it starts one.
func (a *Agent) Endless(path string, begun func(pid int64)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.endless[path] = begun
}

// End ends an endless program as a signal does.
func (a *Agent) End(pid int64, signal int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.running[pid]; ok {
		a.running[pid] = execStatus{Exited: true, Signal: signal}
	}
}

// Running counts the programs of which nobody has heard that they ended.
func (a *Agent) Running() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.running)
}

// WriteFile puts a file into the guest.
func (a *Agent) WriteFile(path string, data []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.files[path] = data
}

// ReadFile returns a guest file's contents, nil if there is none.
func (a *Agent) ReadFile(path string) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.files[path])
}

// OpenHandles counts the files that a client has not closed.
func (a *Agent) OpenHandles() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.open)
}

// Calls lists the commands received so far, synchronisations included.
func (a *Agent) Calls() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

func (a *Agent) serve() {
	defer close(a.served)
	for {
		conn, err := a.listener.Accept()
		if err != nil {
			return
		}
		a.client(conn)
	}
}

func (a *Agent) client(conn net.Conn) {
	defer conn.Close()
	a.mu.Lock()
	a.conn = conn
	conn.Write(a.stale)
	a.stale = nil
	a.mu.Unlock()
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		if i := bytes.LastIndexByte(line, 0xFF); i >= 0 {
			// The real agent complains about what stood before the sentinel.
			conn.Write([]byte(`{"error": {"class": "GenericError", "desc": "JSON parse error, stray byte"}}` + "\n"))
			line = line[i+1:]
		}
		conn.Write(a.answer(line))
	}
}

type request struct {
	Execute   string          `json:"execute"`
	Arguments json.RawMessage `json:"arguments"`
}

func (a *Agent) answer(line []byte) []byte {
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return fail(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, r.Execute)
	if a.mute[r.Execute] {
		return nil
	}
	result, err := a.act(r)
	if err != nil {
		return fail(err)
	}
	out, err := json.Marshal(map[string]any{"return": result})
	if err != nil {
		return fail(err)
	}
	if r.Execute == "guest-sync-delimited" {
		out = append([]byte{0xFF}, out...)
	}
	return append(out, '\n')
}

func (a *Agent) act(r request) (any, error) {
	switch r.Execute {
	case "guest-sync-delimited":
		var arg struct{ ID int64 }
		err := json.Unmarshal(r.Arguments, &arg)
		return arg.ID, err
	case "guest-ping":
		return struct{}{}, nil
	case "guest-exec":
		return a.exec(r.Arguments)
	case "guest-exec-status":
		return a.status(r.Arguments)
	case "guest-file-open":
		return a.fileOpen(r.Arguments)
	case "guest-file-read":
		return a.fileRead(r.Arguments)
	case "guest-file-write":
		return a.fileWrite(r.Arguments)
	case "guest-file-flush":
		return struct{}{}, nil
	case "guest-file-close":
		return a.fileClose(r.Arguments)
	}
	return nil, errors.New("The command " + r.Execute + " has not been found")
}

func fail(err error) []byte {
	out, _ := json.Marshal(map[string]any{
		"error": map[string]string{"class": "GenericError", "desc": err.Error()},
	})
	return append(out, '\n')
}
