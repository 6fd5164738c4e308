//go:build e2e

package lanclient

import (
	"errors"
	"fmt"
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
// controller at 82h.
func startSim(t *testing.T) (addr string) {
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
		"    allowed_auths_admin md5\n    guid a123456789abcdefa123456789abcdef\n  endlan\n  user 2 true %q %q admin 10 md5\n", host, port, admin.User, admin.Password)
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

// The client speaks to somebody else's controller as to ours.
func TestE2EIPMISim(t *testing.T) {
	addr, who := startSim(t), admin
	who.Suite = Suite3
	c, err := Dial(t.Context(), addr, who)
	for deadline := time.Now().Add(20 * time.Second); errors.Is(err, syscall.ECONNREFUSED) && time.Now().Before(deadline); {
		c, err = Dial(t.Context(), addr, who) // until it listens
	}
	if err != nil {
		t.Fatal(err)
	}
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
