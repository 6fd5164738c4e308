//go:build e2e

package e2e_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"os/exec"
	"testing"
	"time"
)

var errNothing = errors.New("nothing yet")

// tracer is a running midplane trace.
type tracer struct {
	lines chan traceJSON
}

// trace starts midplane trace for a node, and returns when it sees what passes.
func (s *shelf) trace(t *testing.T, node string) *tracer {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin, "--shelf", s.Name, "-o", "json", "trace", node)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &tracer{lines: make(chan traceJSON, 4096)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(w.lines)
		d := json.NewDecoder(bufio.NewReader(out))
		for {
			var e traceJSON
			if d.Decode(&e) != nil {
				return
			}
			w.lines <- e
		}
	}()
	t.Cleanup(func() { // the context has ended, and with it the program
		for range w.lines {
		}
		<-done
		_ = cmd.Wait()
	})
	eventually(t, patience, "the trace shows a message", func() error {
		s.do(t, "raw", node, "6", "1")
		select {
		case <-w.lines:
			return nil
		case <-time.After(time.Second): // and asks again
			return errNothing
		}
	})
	return w
}

// next is the next message.
func (w *tracer) next(t *testing.T) traceJSON {
	t.Helper()
	select {
	case e, ok := <-w.lines:
		if !ok {
			t.Fatal("the trace has ended")
		}
		return e
	case <-time.After(patience):
		t.Fatal("the trace shows nothing more")
	}
	return traceJSON{}
}
