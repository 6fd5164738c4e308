package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/pcap"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// traced puts an exchange between two blades before their nodes: each has its
// own door and its own port to the bus.
func traced(t *testing.T, s *fakeShelf) {
	t.Helper()
	at := time.Now().Add(-time.Second).UnixNano()
	entry := func(ms int64, kind v1.TraceKind, controller uint32, to bool, b []byte) *v1.TraceEntry {
		return &v1.TraceEntry{Time: at + ms*int64(time.Millisecond), Kind: kind, Controller: controller, ToController: to, Bytes: b, Plane: v1.Plane_PLANE_A}
	}
	frame := func(f ipmb.Frame) []byte {
		b, err := f.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ask := ipmb.Frame{To: 0x84, NetFn: ipmb.NetFnApp, From: 0x82, Seq: 5, Cmd: 0x01}
	const system, bus = v1.TraceKind_TRACE_KIND_SYSTEM, v1.TraceKind_TRACE_KIND_IPMB
	s.node("blade1").trace = []*v1.TraceEntry{
		entry(0, system, 0x82, true, []byte("\x18\x47\x02\x02hunter2")),
		entry(1, bus, 0x82, false, frame(ask)),
		entry(4, bus, 0x82, true, frame(ask.Reply(ipmb.Response{Data: []byte{0x20}}))),
	}
	s.node("blade2").trace = []*v1.TraceEntry{
		entry(2, bus, 0x84, true, frame(ask)),
		entry(3, bus, 0x84, false, frame(ask.Reply(ipmb.Response{Data: []byte{0x20}}))),
		{Time: at + 5e6, Kind: v1.TraceKind_TRACE_KIND_NOTE, Controller: 0x84, Note: "VM connected"},
	}
}

func TestTraceMergesNodes(t *testing.T) {
	s := newFakeShelf(t)
	traced(t, s)
	got := s.run("trace", "--count", "4", "-o", "json")
	if got.code != 0 || got.err != "" {
		t.Fatalf("%+v", got)
	}
	var all []traceView
	for d := json.NewDecoder(strings.NewReader(got.out)); d.More(); {
		var v traceView
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b traceView) int { return a.Time.Compare(b.Time) })
	var lines []string
	for _, v := range all {
		_, text, _ := strings.Cut(v.Text, " ")
		lines = append(lines, v.Where+" "+v.Kind+": "+text)
	}
	want := `blade1 system: 0x82 → Set User Password 02 02 2a 2a 2a 2a 2a 2a 2a
blade1 ipmb: IPMB-A 0x82 → 0x84 #5 Get Device ID
blade2 ipmb: IPMB-A 0x84 → 0x82 #5 Get Device ID: ok 20
blade2 note: 0x84 VM connected`
	if text := strings.Join(lines, "\n"); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	if strings.Contains(got.out, "68756e746572") {
		t.Error("a password is shown")
	}
}

// An entry waits for older ones from other daemons, as long as all do.
func TestEntriesAreOrdered(t *testing.T) {
	start := time.Unix(1000, 0)
	entry := func(name string, at, came time.Duration) seen {
		return seen{&v1.TraceEntry{Time: start.Add(at).UnixNano()}, name, start.Add(came)}
	}
	w := &watcher{}
	for _, e := range []seen{entry("b", 2, 10), entry("a", 1, 12), entry("d", 4, 13), entry("c", 3, 20)} {
		w.hold(e)
	}
	for _, step := range []struct {
		ripe time.Duration
		want string
	}{{9, ""}, {11, ""}, {13, "ab"}, {19, ""}, {20, "cd"}, {30, ""}} {
		var got string
		for _, e := range w.release(start.Add(step.ripe)) {
			got += e.where
		}
		if got != step.want {
			t.Errorf("ripe %d: %q, want %q", step.ripe, got, step.want)
		}
	}
}

// One node alone shows both directions at its port.
func TestTraceOfOneNode(t *testing.T) {
	s := newFakeShelf(t)
	traced(t, s)
	got := s.run("trace", "2", "--for", "2s")
	if got.code != 0 || got.err != "" || strings.Count(got.out, "\n") != 3 || !strings.Contains(got.out, "#5 Get Device ID\n") {
		t.Errorf("%+v", got)
	}
}

func TestTraceOfTheSwitches(t *testing.T) {
	s := newFakeShelf(t)
	s.replica("shm1", "shm1").trace = []*v1.TraceEntry{{
		Time: time.Now().UnixNano(), Kind: v1.TraceKind_TRACE_KIND_IPMB, Controller: 0x84, Bytes: []byte{0x84, 0x18, 0x64, 0x20, 2, 1, 0xDD}, Note: "older epoch",
	}}
	got := s.run("trace", "shelf", "--count", "1")
	if got.code != 0 || !strings.Contains(got.out, "0x20 → 0x84 #0 Get Device ID (older epoch)\n") {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(got.err, "shm2 does not answer") || !strings.Contains(got.err, "shm3 does not answer") {
		t.Errorf("who is not watched is not said: %q", got.err)
	}
}

func TestCapture(t *testing.T) {
	s := newFakeShelf(t)
	traced(t, s)
	file := filepath.Join(t.TempDir(), "c.pcap")
	if got := s.run("capture", "-w", file, "--count", "4"); got.code != 0 || got.err != "4 messages\n" {
		t.Fatalf("%+v", got)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := pcap.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []pcap.Protocol
	for {
		rec, err := r.Next()
		if err != nil {
			break
		}
		kinds = append(kinds, rec.Protocol)
	}
	slices.Sort(kinds)
	if !slices.Equal(kinds, []pcap.Protocol{pcap.ProtocolNone, pcap.ProtocolIPMB, pcap.ProtocolIPMB, pcap.ProtocolKCS}) {
		t.Errorf("records %v", kinds)
	}
	if bytes.Contains(data, []byte("hunter2")) {
		t.Error("a password is in the file")
	}
	if got := s.run("capture", "-w", "-", "--count", "1"); len(got.out) < 24 || got.out[:4] != "\xd4\xc3\xb2\xa1" {
		t.Errorf("%+v", got)
	}
}

func TestCaptureWithoutWireshark(t *testing.T) {
	s := newFakeShelf(t)
	traced(t, s)
	t.Setenv("PATH", t.TempDir())
	if got := s.run("capture"); got.code != 3 || !strings.Contains(got.err, "-w FILE") {
		t.Errorf("%+v", got)
	}
}

// Without -w what is seen goes to Wireshark.
func TestCaptureStartsWireshark(t *testing.T) {
	s := newFakeShelf(t)
	traced(t, s)
	dir := t.TempDir()
	file := filepath.Join(dir, "got")
	writeFile(t, filepath.Join(dir, "wireshark"), "#!/bin/sh\n/bin/cat >"+file+".new\necho \"$@\" >>"+file+".new\n/bin/mv "+file+".new "+file+"\n")
	if err := os.Chmod(filepath.Join(dir, "wireshark"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	if got := s.run("capture", "--count", "4"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		data, err := os.ReadFile(file)
		if err == nil {
			if !strings.HasPrefix(string(data), "\xd4\xc3\xb2\xa1") || !strings.HasSuffix(string(data), strings.Join(wiresharkArgs, " ")+"\n") {
				t.Errorf("%q", data)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// countingWriter ends something after so many lines.
type countingWriter struct {
	mu   sync.Mutex
	text bytes.Buffer
	want int
	done func()
}

func (w *countingWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if bytes.Count(w.text.Bytes(), []byte{'\n'}) >= w.want {
		w.done()
	}
	return len(p), nil
}

// Whoever follows the log changes replicas without losing or repeating an event.
func TestFollowOutlivesReplicas(t *testing.T) {
	s := newFakeShelf(t)
	s.whole()
	s.replicas["shm2"].breakAfter = 2
	log := s.replicas["shm2"].log
	event := func() *v1.EventEntry {
		return &v1.EventEntry{Committed: 1745000000e9, Source: 0x82, Speaker: v1.Speaker_SPEAKER_GUEST, Record: upperCritical}
	}
	log.add(event())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out := &countingWriter{want: 8, done: cancel}
	a := &app{in: strings.NewReader(""), out: out, err: &bytes.Buffer{}}
	go func() {
		for range 7 {
			log.add(event())
		}
	}()
	if code := a.execute(ctx, []string{"events", "--follow"}); code != 0 {
		t.Fatal(code)
	}
	for i, line := range strings.Split(strings.TrimSpace(out.text.String()), "\n") {
		if want := string(rune('1'+i)) + " "; !strings.HasPrefix(line, want) {
			t.Errorf("line %d: %q", i+1, line)
		}
	}
}
