package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSummary(t *testing.T) {
	var round sample
	for i := range 100 {
		round = append(round, time.Duration(i+1)*time.Microsecond)
	}
	got := summarise(micros, round, sample{time.Millisecond})
	want := summary{P50: 51, P99: 100, Min: 51, Max: 1000, Trials: 101}
	if *got != want {
		t.Errorf("%+v, want %+v", *got, want)
	}
	if summarise(micros) != nil {
		t.Error("a summary of nothing")
	}
	if got := single(3, 1, 2); got.P50 != 2 || got.Min != 1 || got.Max != 3 {
		t.Errorf("%+v", got)
	}
}

func TestBounds(t *testing.T) {
	tests := map[string]struct {
		bound bound
		peer  *summary
		met   string
	}{
		"below":           {atMost("p50", 10), nil, "ok"},
		"above":           {atMost("p50", 9), nil, "NO"},
		"p99":             {atMost("p99", 20), nil, "ok"},
		"at least":        {atLeast("p50", 11), nil, "NO"},
		"ratio to a peer": {atMost("peer", 1.3), &summary{P50: 8}, "ok"},
		"ratio too high":  {atMost("peer", 1.2), &summary{P50: 8}, "NO"},
		"no peer":         {atMost("peer", 1.2), nil, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := measurement{Midplane: &summary{P50: 10, P99: 20}, Peer: tt.peer, Required: []bound{tt.bound}}
			m.judge()
			got := m.Required[0].String()
			if tt.met == "" && m.Required[0].Met != nil || !strings.HasSuffix(got, tt.met) {
				t.Errorf("%s, want %q at its end", got, tt.met)
			}
		})
	}
}

func TestReportIsWritten(t *testing.T) {
	r := newReport()
	r.add(&measurement{Name: "a", Unit: micros, Midplane: &summary{P50: 2}, Peer: &summary{P50: 1}, Limit: &summary{P50: 4}})
	path := filepath.Join(t.TempDir(), "new", "bench.json")
	if err := r.write(path); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if m := back.Measurements[0]; m.ToPeer != 2 || m.ToLimit != 0.5 {
		t.Errorf("ratios %v and %v", m.ToPeer, m.ToLimit)
	}
}

func TestSimConfiguration(t *testing.T) {
	got := string(simLAN("127.0.0.1:9", "127.0.0.1:10"))
	for _, want := range []string{"serial 15 127.0.0.1 9 codec VM\n", "addr 127.0.0.1 10\n", "user 2 true \"admin\" \"secret\" admin 63 md5\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	got = string(simControllers(2))
	for _, want := range []string{"mc_setbmc 0x20\n", "mc_enable 0x20\n", "mc_enable 0x82\n", "mc_enable 0x84\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// fakeBMC is the other end of a guest: it answers as a script says.
func fakeBMC(t *testing.T, answer func(m vm.Message) []byte) (addr string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bmc")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		serveBMC(ln, answer)
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return "unix:" + path
}

func serveBMC(ln net.Listener, answer func(m vm.Message) []byte) {
	conn, err := ln.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{0x01, 0xA0}); err != nil { // a node ends a message that QEMU may have half of
		return
	}
	var d vm.Decoder
	for buf := make([]byte, 4096); ; {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		for in := buf[:n]; len(in) > 0; {
			var f vm.Frame
			f, in = d.Next(in)
			if f.Kind != vm.FrameMessage {
				continue
			}
			m, err := vm.ParseMessage(f.Body)
			if err != nil {
				return
			}
			if _, err := conn.Write(answer(m)); err != nil {
				return
			}
		}
	}
}

// mailbox answers like a BMC with one other controller: attention together
// with the acknowledgement, in the order given.
func mailbox(attentionFirst bool) func(m vm.Message) []byte {
	var queue []byte
	respond := func(m vm.Message, data ...byte) []byte {
		m.NetFn, m.Data = m.NetFn.Response(), append([]byte{0}, data...)
		return vm.AppendMessage(nil, m)
	}
	return func(m vm.Message) []byte {
		switch m.Cmd {
		case ipmb.CmdSendMessage:
			f, _ := ipmb.ParseFrame(m.Data[1:])
			raw, _ := f.Reply(ipmb.Response{Data: []byte{1, 2, 3}}).AppendBinary([]byte{0})
			queue = append(raw[:1], raw[2:]...)
			attention := vm.AppendCommand(nil, vm.CommandAttentionIRQ)
			if attentionFirst {
				return append(attention, respond(m)...)
			}
			return append(respond(m), attention...)
		case ipmb.CmdGetMessage:
			if queue == nil {
				return vm.AppendMessage(nil, vm.Message{Seq: m.Seq, NetFn: m.NetFn.Response(), Cmd: m.Cmd, Data: []byte{byte(ipmb.ErrEmpty)}})
			}
			data := queue
			queue = nil
			return append(vm.AppendCommand(nil, vm.CommandNoAttention), respond(m, data...)...)
		}
		return respond(m, 1)
	}
}

func TestGuestBridges(t *testing.T) {
	for name, first := range map[string]bool{"attention first": true, "attention last": false} {
		t.Run(name, func(t *testing.T) {
			g, err := connect(fakeBMC(t, mailbox(first)))
			if err != nil {
				t.Fatal(err)
			}
			defer g.close()
			for range 100 {
				if err := g.bridged(0x82); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestLoadCountsEveryRequest(t *testing.T) {
	g, err := connect(fakeBMC(t, mailbox(false)))
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	l := newLoad(g, 0x20, mixed, 1)
	first := l.expect(time.Now())
	if err := l.run(t.Context(), 200); err != nil {
		t.Fatal(err)
	}
	<-first
	if got := l.now(); got.sent != 200 || got.answered != 200 || got.failed != 0 || got.open != 0 {
		t.Errorf("%+v", got)
	}
	if n := len(l.taken()); n != 200 {
		t.Errorf("%d durations", n)
	}
}
