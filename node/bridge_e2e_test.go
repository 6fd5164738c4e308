//go:build e2e

package node

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/node/serial"
)

// TestE2EBridgeStyles asks boards behind a board as clients do, with answers in
// both styles.
func TestE2EBridgeStyles(t *testing.T) {
	for _, style := range []ipmb.BridgeStyle{ipmb.BridgeSplit, ipmb.BridgeEmbedded} {
		t.Run(string(style), func(t *testing.T) {
			t.Parallel()
			r := newBridgeRig(t, style)
			for _, c := range []struct{ args, want string }{
				{"-t 0x84 -b 0 raw 6 1", " 20 81 00 10 02"},
				{"-t 0x84 -b 0 picmg addrinfo", "IPMB-0 Address   : 0x84"},
				{"-t 0x84 -b 0 -l 1 raw 6 1", ""},
				{"-t 0x84 -b 0 chassis power off", ""}, // of another board
				{"-t 0x90 -b 0 raw 6 1", ""},
			} {
				r.want(r.door, c.want, strings.Fields("-C 17 -N 20 -R 1 "+c.args)...)
			}
			if calls := r.second.vm.took(); len(calls) > 0 {
				t.Errorf("did %q", calls)
			}
			if style == ipmb.BridgeSplit { // ipmitool's lanplus takes no embedded answer within an embedded one
				r.want(r.door, "IPMB-0 Address   : 0x86", strings.Fields("-C 17 -T 0x84 -B 0 -t 0x86 -b 0 picmg addrinfo")...)
				r.freeIPMI()
			}
			r.toSoftware()
		})
	}
}

// TestE2ESerialBridge does the same by serial lines, on which ipmitool takes both
// styles in both depths; but in basic mode it overlooks a message that it has
// read together with the one before.
func TestE2ESerialBridge(t *testing.T) {
	r := newBridgeRig(t, ipmb.BridgeSplit)
	for _, c := range []struct {
		mode  serial.Mode
		style ipmb.BridgeStyle
	}{
		{serial.Terminal, ""},
		{serial.Terminal, ipmb.BridgeEmbedded},
		{serial.Basic, ""},
		{serial.Direct, ""},
	} {
		t.Run(fmt.Sprint(c.mode, c.style), func(t *testing.T) {
			p := plugIn(t, r.line(t, c.mode, c.style))
			as := string(c.mode)
			if c.mode == serial.Direct {
				as = "basic"
			}
			p.expect(as, "IPMB-0 Address   : 0x84", "-t", "0x84", "-b", "0", "picmg", "addrinfo")
			p.expect(as, "IPMB-0 Address   : 0x86", "-T", "0x84", "-B", "0", "-t", "0x86", "-b", "0", "picmg", "addrinfo")
		})
	}
}

// line is a serial port of the first board's, at a Unix socket.
func (r *bridgeRig) line(t *testing.T, mode serial.Mode, style ipmb.BridgeStyle) string {
	t.Helper()
	door, err := serial.New(serial.Config{
		Mode: mode, Style: style, Handler: r.first.Handler(), Logger: slog.New(slog.DiscardHandler),
		Origin: ipmb.Origin{Speaker: ipmb.SpeakerSession, Channel: firstSerialChannel, Privilege: ipmb.PrivilegeAdmin, Shelf: "lab", Source: self, Instance: "own"},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "line")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- door.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		_ = os.RemoveAll(dir)
	})
	return path
}

// freeIPMI knows one style.
func (r *bridgeRig) freeIPMI() {
	r.t.Helper()
	args := []string{
		"-h", r.door.String(), "-u", LANUser, "-p", r.password, "-D", "LAN_2_0",
		"--target-channel-number=0", "--target-slave-address=0x84", "0", "0x2c", "1", "0",
	}
	out, err := exec.Command("ipmi-raw", args...).CombinedOutput()
	if want := "rcvd: 01 00 00 42 84 FF"; err != nil || !strings.Contains(string(out), want) {
		r.t.Errorf("ipmi-raw: %v\n%s", err, out)
	}
}

// toSoftware has a client ask LUN 2, where the software of a board's guest is.
func (r *bridgeRig) toSoftware() {
	r.t.Helper()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		r.want(r.door, " 05 06", strings.Fields("-C 17 -t 0x84 -b 0 -l 2 raw 6 1 9")...)
	}()
	for {
		select {
		case <-r.second.line.rises():
		case <-asked:
			return
		}
		for _, f := range r.second.received() {
			if code := r.second.send(f.Reply(ipmb.Response{Data: []byte{5, 6}})); code != ipmb.OK {
				r.t.Errorf("software's answer: %v", code)
			}
		}
	}
}

// rises is closed when the attention line is up.
func (l *fakeLine) rises() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	up := make(chan struct{})
	if l.attention {
		close(up)
	} else {
		l.changed = up
	}
	return up
}

// TestE2EBridgedFRU reads a whole EEPROM behind the bridge, in the chunks that
// fit into a message of a real bus.
func TestE2EBridgedFRU(t *testing.T) {
	content := make([]byte, mc.MaxFRU) // behind it a device is blank
	for i := range content {
		content[i] = byte(i * 7)
	}
	r := newBridgeRig(t, ipmb.BridgeSplit, mc.FRU{ID: 5, Content: content, Name: "big"})
	for way, chunk := range map[string]byte{"-t 0x84 -b 0": 23, "-T 0x84 -B 0 -t 0x86 -b 0": 15} {
		r.took(other)
		r.took(third)
		path := filepath.Join(t.TempDir(), "fru")
		r.want(r.door, "Done", append(strings.Fields("-C 17 "+way+" fru read 5"), path)...)
		got, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(got, content) || len(bytes.Trim(got[len(content):], "\xFF")) > 0 {
			t.Errorf("%s: %d bytes, %v", way, len(got), err)
		}
		reads := 0
		for _, f := range append(r.took(other), r.took(third)...) {
			if f.NetFn == ipmb.NetFnStorage && f.Cmd == 0x11 && f.Data[3] <= chunk {
				reads++
			}
		}
		if want := (len(got) + int(chunk) - 1) / int(chunk); reads != want {
			t.Errorf("%s: %d reads, want %d", way, reads, want)
		}
	}
}
