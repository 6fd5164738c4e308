//go:build e2e

package node

import (
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestE2ELANClients asks a lone node with the clients that people have, without
// a flag that works around anything.
func TestE2ELANClients(t *testing.T) {
	cfg := lone(t)
	cfg.LAN.Listen = freeAddress(t)
	r := run(t, cfg, nil)
	defer func() {
		if err := r.end(); err != nil {
			t.Error(err)
		}
	}()
	connect(t, cfg)
	password, err := lanPassword(filepath.Join(cfg.Dir, LANPasswordFile))
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(cfg.LAN.Listen)
	if err != nil {
		t.Fatal(err)
	}
	ipmitool := []string{"ipmitool", "-I", "lanplus", "-H", host, "-p", port, "-U", LANUser, "-P", password}
	freeipmi := []string{"-h", cfg.LAN.Listen, "-u", LANUser, "-p", password, "-D", "LAN_2_0"}
	device := "20 81 00 10 02"
	for _, c := range []struct {
		command []string
		want    string // in its output; empty: it fails
	}{
		{with(ipmitool, "mc", "info"), "Provides Device SDRs      : yes"},
		{with(ipmitool, "-C", "3", "raw", "6", "1"), device},
		{with(ipmitool, "-C", "0", "mc", "info"), ""},
		{with(ipmitool, "-P", "wrong", "mc", "info"), ""},
		{with(ipmitool, "-t", "0x20", "-b", "0", "raw", "6", "1"), device},
		{with(ipmitool, "-T", "0x20", "-B", "0", "-t", "0x20", "-b", "0", "raw", "6", "1"), device},
		{with(ipmitool, "-t", "0x84", "-b", "0", "raw", "6", "1"), ""},
		{with(ipmitool, "-L", "USER", "chassis", "power", "cycle"), ""},
		{with(ipmitool, "session", "info", "all"), "session type                  : IPMIv2/RMCP+"},
		{with(ipmitool, "channel", "info", "1"), "Active Session Count  : 1"},
		{with([]string{"bmc-info"}, freeipmi...), "Device SDRs           : supported"},
		{with(with([]string{"ipmi-raw"}, freeipmi...), "0", "6", "1"), "20 81 00 10 02"},
		{with(with([]string{"ipmi-raw"}, freeipmi...), "--target-channel-number=0", "--target-slave-address=0x20", "0", "6", "1"), "20 81 00 10 02"},
	} {
		out, err := exec.Command(c.command[0], c.command[1:]...).CombinedOutput()
		shown := strings.ReplaceAll(strings.Join(c.command, " "), password, "…")
		if c.want == "" != (err != nil) || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v\n%s", shown, err, out)
		}
	}
}

func with(command []string, args ...string) []string { return slices.Concat(command, args) }
