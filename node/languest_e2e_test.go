//go:build e2e

package node_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/node"
)

// TestE2ELANGuest has root in a guest move its BMC's LAN door by stock
// ipmitool, within what the configuration allows.
func TestE2ELANGuest(t *testing.T) {
	s := newSite(t, node.ProfileServer, "kcs", "")
	free, err := net.ListenPacket("udp", "127.78.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := free.LocalAddr().String()
	_, port, _ := net.SplitHostPort(first)
	_ = free.Close()
	s.cfg.LAN = node.LANDoor{Listen: first, Allow: []string{"127.78.0.2:" + port}}
	s.write("node.json", s.cfg)
	s.killNode()
	password := func() string {
		text, _ := os.ReadFile(s.path("node/" + node.LANPasswordFile))
		return strings.TrimSpace(string(text))
	}
	ipmitool := func(host string, args ...string) (string, error) {
		all := append([]string{"-I", "lanplus", "-C", "17", "-H", host, "-p", port, "-U", node.LANUser, "-P", password(), "-N", "1", "-R", "1"}, args...)
		out, err := exec.Command("ipmitool", all...).CombinedOutput()
		return string(out), err
	}
	want := func(host, text string) {
		t.Helper()
		s.eventually("the door is at "+host, patience, func() error {
			out, err := ipmitool(host, "lan", "print", "1")
			if err == nil && !strings.Contains(out, text) {
				err = fmt.Errorf("%s", out)
			}
			return err
		})
	}
	want("127.78.0.1", "IP Address              : 127.78.0.1")
	s.must("ipmitool lan set 1 ipaddr 127.78.0.2")
	if out, err := ipmitool("127.78.0.1", "mc", "info"); err == nil {
		t.Errorf("the door is where it was: %s", out)
	}
	want("127.78.0.2", "IP Address              : 127.78.0.2")
	if out, code := s.sh("ipmitool lan set 1 ipaddr 127.78.0.3"); code == 0 {
		t.Errorf("what is not allowed: %s", out)
	}
	want("127.78.0.2", "IP Address              : 127.78.0.2")
	log, err := os.ReadFile(s.path("node.log"))
	if err != nil || !strings.Contains(string(log), `LAN setting refused`) || !strings.Contains(string(log), "by=guest door=system") {
		t.Errorf("no audit record: %v\n%s", err, log)
	}
}
