// Package qmptest is a fake QEMU monitor: a QMP server on a Unix socket with a small VM behind it.
//
// It serves one client at a time, as QEMU does, keeps a run state that stop, cont, system_reset and quit change,
// and sends the events that QEMU sends for them. Any command's answer can be replaced.
package qmptest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// A Handler answers one command: with a value for "return", or an error whose text becomes the description.
type Handler func(arguments json.RawMessage) (any, error)

// A Server is one fake QEMU process's monitor.
type Server struct {
	path     string
	listener *net.UnixListener
	served   chan struct{}
	quit     chan struct{} // closed by the first quit command
	quitOnce sync.Once

	mu       sync.Mutex
	conn     net.Conn
	handlers map[string]Handler
	calls    []string
	status   string
	uuid     string
	clock    time.Time
	ahead    time.Duration // of the real clock
	firmware bool          // that asks for a second reset after each
	obeys    bool          // the guest powers off when its button is pressed
	actions  struct{ Shutdown string }
}

// DefaultUUID is what query-uuid answers unless SetUUID says otherwise.
const DefaultUUID = "6a0c7f0e-5f6f-4a4e-9a53-000000000001"

// Start listens on a short temporary path until the test ends. The VM is in prelaunch, as after -S.
func Start(t testing.TB) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "qmp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return StartAt(t, filepath.Join(dir, "qmp.sock"))
}

// StartAt is Start with a chosen socket path.
func StartAt(t testing.TB, path string) *Server {
	t.Helper()
	s, err := Listen(path, DefaultUUID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Listen is StartAt outside a test, for a program that plays QEMU. The caller closes the server.
func Listen(path, uuid string) (*Server, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	s := &Server{
		path: path, listener: l, served: make(chan struct{}), quit: make(chan struct{}),
		handlers: make(map[string]Handler), status: "prelaunch", uuid: uuid,
	}
	go s.serve()
	return s, nil
}

// Quit is closed once a client has sent the quit command.
func (s *Server) Quit() <-chan struct{} { return s.quit }

// Path is the socket to dial.
func (s *Server) Path() string { return s.path }

// Close ends the listener and the connection and waits.
func (s *Server) Close() {
	s.listener.Close()
	s.Drop()
	<-s.served
}

// Drop closes the present connection, as QEMU does when it dies; the next client is served.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.Close()
	}
}

// Handle replaces the answer to one command.
func (s *Server) Handle(command string, h Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handlers[command] = h
}

// SetStatus sets the run state without an event.
func (s *Server) SetStatus(status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// SetUUID sets what query-uuid answers.
func (s *Server) SetUUID(uuid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uuid = uuid
}

// SetClock fixes the timestamps of later events; the zero time means the real clock.
func (s *Server) SetClock(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = now
}

// Calls lists the commands received so far.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Emit sends an event to the present client; data may be nil.
func (s *Server) Emit(event string, data any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emit(event, data)
}

func (s *Server) emit(event string, data any) {
	now := s.clock
	if now.IsZero() {
		now = time.Now().Add(s.ahead)
	}
	m := map[string]any{
		"event":     event,
		"timestamp": map[string]int64{"seconds": now.Unix(), "microseconds": int64(now.Nanosecond() / 1000)},
	}
	if data != nil {
		m["data"] = data
	}
	s.send(m)
}

func (s *Server) send(m any) {
	if s.conn == nil {
		return
	}
	line, err := json.Marshal(m)
	if err != nil {
		line = fmt.Appendf(nil, "qmptest: %v", err)
	}
	s.conn.Write(append(line, '\r', '\n'))
}

func (s *Server) serve() {
	defer close(s.served)
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.client(conn)
	}
}

func (s *Server) client(conn net.Conn) {
	defer conn.Close()
	s.mu.Lock()
	s.conn = conn
	s.send(json.RawMessage(`{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7},` +
		` "package": "qmptest"}, "capabilities": ["oob"]}}`))
	s.mu.Unlock()
	in := bufio.NewScanner(conn)
	for in.Scan() {
		var cmd struct {
			Execute   string          `json:"execute"`
			Arguments json.RawMessage `json:"arguments"`
			ID        json.RawMessage `json:"id"`
		}
		if json.Unmarshal(in.Bytes(), &cmd) != nil {
			break
		}
		if s.answer(cmd.Execute, cmd.Arguments, cmd.ID) {
			break
		}
	}
	s.mu.Lock()
	s.conn = nil
	s.mu.Unlock()
}

// answer runs one command and reports whether the process has ended with it.
// A replaced handler runs without the lock, so that it may call the server's methods.
func (s *Server) answer(name string, arguments, id json.RawMessage) (quit bool) {
	s.mu.Lock()
	s.calls = append(s.calls, name)
	handler := s.handlers[name]
	s.mu.Unlock()
	if handler != nil {
		result, err := handler(arguments)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reply(id, result, err)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	result, err := s.act(name, arguments)
	s.reply(id, result, err)
	if name == "quit" {
		s.quitOnce.Do(func() { close(s.quit) })
	}
	return name == "quit"
}

func (s *Server) reply(id json.RawMessage, result any, err error) {
	if err != nil {
		s.send(map[string]any{"id": id, "error": map[string]string{"class": "GenericError", "desc": err.Error()}})
		return
	}
	if result == nil {
		result = struct{}{}
	}
	s.send(map[string]any{"id": id, "return": result})
}
