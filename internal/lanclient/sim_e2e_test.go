//go:build e2e

package lanclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

const simControllers = `mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0 0
mc_enable 0x20
mc_add 0x82 0 no-device-sdrs 0x23 9 8 0x9f 0 0
mc_enable 0x82
`

// startSim starts ipmi_sim with a BMC that admin may log in to, and a
// controller at 82h, and further lines of the BMC's in lan.conf.
func startSim(t *testing.T, more string) (addr string) {
	t.Helper()
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	addr = free.LocalAddr().String()
	host, port, _ := net.SplitHostPort(addr)
	dir := t.TempDir()
	lan, emu := filepath.Join(dir, "lan.conf"), filepath.Join(dir, "sim.emu")
	config := fmt.Sprintf("name \"test\"\nset_working_mc 0x20\n  startlan 1\n    addr %s %s\n    priv_limit admin\n"+
		"    allowed_auths_admin md5\n    guid a123456789abcdefa123456789abcdef\n  endlan\n  user 2 true %q %q admin 10 md5\n%s", host, port, admin.User, admin.Password, more)
	for path, text := range map[string]string{lan: config, emu: simControllers} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sim := exec.Command("ipmi_sim", "-n", "-c", lan, "-f", emu, "-s", dir)
	_ = free.Close()
	if err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = sim.Process.Kill()
		_ = sim.Wait()
	})
	return addr
}

// dialSim logs in as soon as ipmi_sim listens.
func dialSim(t *testing.T, addr string) *Client {
	t.Helper()
	who := admin
	who.Suite = Suite3
	c, err := Dial(t.Context(), addr, who)
	for deadline := time.Now().Add(time.Minute); errors.Is(err, syscall.ECONNREFUSED) && time.Now().Before(deadline); {
		c, err = Dial(t.Context(), addr, who)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The client speaks to somebody else's controller as to ours.
func TestE2EIPMISim(t *testing.T) {
	c := dialSim(t, startSim(t, ""))
	if got, err := c.Do(t.Context(), ipmb.NetFnApp, ipmb.CmdGetDeviceID); err != nil || len(got) < 11 {
		t.Errorf("own: % x, %v", got, err)
	}
	if got, err := c.Bridge(t.Context(), 0x82, ipmb.NetFnApp, ipmb.CmdGetDeviceID); err != nil || len(got) < 11 {
		t.Errorf("bridged: % x, %v", got, err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestE2ESOLOfIPMISim(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := dialSim(t, startSim(t, fmt.Sprintf("  sol \"tcp:%s\" 115200\n", ln.Addr())))
	deadline := time.Now().Add(time.Minute)
	_ = ln.(*net.TCPListener).SetDeadline(deadline)
	system, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer system.Close()
	_ = system.SetDeadline(deadline)
	s, err := c.ActivateSOL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte("0123456789"), 200)
	if _, err := system.Write(text); err != nil {
		t.Fatal(err)
	}
	reads(t, s, text)
	if n, err := s.Write(t.Context(), text[:100]); n != 100 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	heard := make([]byte, 100)
	if _, err := io.ReadFull(system, heard); err != nil || !bytes.Equal(heard, text[:100]) {
		t.Errorf("%q, %v", heard, err)
	}
	if err := errors.Join(s.Close(t.Context()), c.Close(t.Context())); err != nil {
		t.Error(err)
	}
}
