//go:build e2e

package pcap_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Wireshark, which Midplane did not write, reads the captures.
func TestWireshark(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shelf.pcap")
	if err := os.WriteFile(file, capture(t), 0o600); err != nil {
		t.Fatal(err)
	}
	tshark := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "tshark",
			append([]string{"-r", file, "-o", "ipmi.dissect_bus_commands:TRUE"}, args...)...).Output()
		if err != nil {
			t.Fatalf("tshark %v: %v", args, err)
		}
		return string(out)
	}
	lines := strings.Split(strings.TrimSpace(tshark()), "\n")
	for i, want := range []string{
		"HOST → BMC KCS 13 Req, Get Device ID",
		"0x20(IPMB-A) → 0x84 IPMB 18 Req, Get Device ID",
		"0x84(IPMB-B) → 0x20 IPMB 30 Rsp, Get Device ID, Command Completed Normally (00h)",
		"blade1: VM connected",
	} {
		if i >= len(lines) || !strings.Contains(strings.Join(strings.Fields(lines[i]), " "), want) {
			t.Errorf("line %d has no %q:\n%s", i+1, want, strings.Join(lines, "\n"))
		}
	}
	full := tshark("-V")
	if strings.Contains(full, "Malformed") || strings.Contains(full, "incorrect") {
		t.Errorf("Wireshark is not content:\n%s", full)
	}
	for _, want := range []string{
		"Header Checksum: 0x64 (correct)", "Data checksum: 0xdd (correct)", "Header Checksum: 0xc2 (correct)", "Data checksum: 0x9f (correct)",
		"[Response to: 2]", "Direction: To IPM Controller", "Embedded ASCII message", "Event Receiver",
	} {
		if !strings.Contains(full, want) {
			t.Errorf("no %q in\n%s", want, full)
		}
	}
}
