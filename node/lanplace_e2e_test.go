//go:build e2e

package node

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ipmitool is the real one at a LAN door.
type ipmitool struct {
	t        *testing.T
	password string
}

func (i ipmitool) run(at netip.AddrPort, args ...string) (string, error) {
	i.t.Helper()
	all := append([]string{"-I", "lanplus", "-H", at.Addr().String(), "-p", fmt.Sprint(at.Port()), "-U", LANUser, "-P", i.password}, args...)
	out, err := exec.Command("ipmitool", all...).CombinedOutput()
	return string(out), err
}

// want has a command succeed, or fail when it wants nothing.
func (i ipmitool) want(at netip.AddrPort, want string, args ...string) {
	i.t.Helper()
	out, err := i.run(at, args...)
	if want == "" != (err != nil) || !strings.Contains(out, want) {
		i.t.Errorf("ipmitool -H %v %s: %v\n%s", at, strings.Join(args, " "), err, out)
	}
}

// silent checks that nobody can log in at an address.
func (i ipmitool) silent(at netip.AddrPort) {
	i.t.Helper()
	i.want(at, "", "-C", "17", "-N", "1", "-R", "1", "raw", "6", "1")
}

// lanTool gives the clients of a node's LAN door.
func lanTool(t *testing.T, cfg Config) ipmitool {
	t.Helper()
	password, err := lanPassword(filepath.Join(cfg.Dir, LANPasswordFile))
	if err != nil {
		t.Fatal(err)
	}
	return ipmitool{t, password}
}

// TestE2ELANSet moves the door by the door itself: what was begun at the old
// address is finished there.
func TestE2ELANSet(t *testing.T) {
	cfg := lanAt(t)
	first := netip.MustParseAddrPort(cfg.LAN.Listen)
	second := netip.AddrPortFrom(netip.MustParseAddr("127.77.1.8"), first.Port())
	third := netip.AddrPortFrom(netip.MustParseAddr("127.77.1.9"), first.Port())
	cfg.LAN.Allow = []string{second.String(), third.String()}
	l := startLAN(t, cfg)
	tool := lanTool(t, cfg)
	tool.want(first, "IP Address              : 127.0.0.1\nSubnet Mask             : 255.0.0.0", "lan", "print", "1")
	tool.want(first, "Setting LAN IP Address to 127.77.1.8", "lan", "set", "1", "ipaddr", "127.77.1.8")
	tool.silent(first)
	tool.want(second, "IP Address              : 127.77.1.8", "lan", "print", "1")
	tool.want(second, "Set in Progress         : Set Complete", "lan", "print", "1")

	for _, no := range []string{"ipaddr 192.0.2.1", "ipsrc dhcp"} {
		tool.want(second, "", strings.Fields("lan set 1 "+no)...)
		if told := l.log.Take("LAN setting refused"); len(told) != 1 || !strings.Contains(told[0], "by=session door=lan privilege=admin") {
			t.Errorf("%s: %q", no, told)
		}
	}
	tool.want(second, "", strings.Fields("raw 0x0c 1 1 0x14 0x11 0x80")...) // ipmitool lan set vlan looks at no code
	tool.want(second, "802.1q VLAN ID          : Disabled", "lan", "print", "1")

	freeipmi := []string{"-h", second.String(), "-u", LANUser, "-p", tool.password, "-D", "LAN_2_0", "--commit", "-e"}
	if out, err := exec.Command("ipmi-config", append(freeipmi, "Lan_Conf:IP_Address=192.0.2.1")...).CombinedOutput(); err == nil {
		t.Errorf("%s", out)
	}
	if out, err := exec.Command("ipmi-config", append(freeipmi, "Lan_Conf:IP_Address=127.77.1.9")...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	tool.want(third, "IP Address              : 127.77.1.9", "lan", "print", "1")

	// What the door forgets to answer once its access is off, it does again
	// when it is on.
	l.want("06 40 01 80 00", "00")
	tool.silent(third)
	l.want("06 40 01 82 00", "00")
	tool.want(third, "127.77.1.9", "lan", "print", "1")
}

// TestE2ELANInUse leaves the door where it is when somebody else has the address.
func TestE2ELANInUse(t *testing.T) {
	cfg := lanAt(t)
	first := netip.MustParseAddrPort(cfg.LAN.Listen)
	taken, err := net.ListenPacket("udp", fmt.Sprintf("127.77.1.7:%d", first.Port()))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg.LAN.Allow = []string{taken.LocalAddr().String()}
	startLAN(t, cfg)
	tool := lanTool(t, cfg)
	tool.want(first, "", "lan", "set", "1", "ipaddr", "127.77.1.7")
	tool.want(first, "IP Address              : 127.0.0.1", "lan", "print", "1")
}

// TestE2ELANEverywhere has a door at all addresses answer at each of them.
func TestE2ELANEverywhere(t *testing.T) {
	cfg := lanAt(t)
	port := netip.MustParseAddrPort(cfg.LAN.Listen).Port()
	for listen, hosts := range map[netip.Addr][]string{
		netip.IPv4Unspecified(): {"127.0.0.1", "127.0.0.2"},
		netip.IPv6Unspecified(): {"127.0.0.2", "::1"},
	} {
		cfg.LAN.Listen = netip.AddrPortFrom(listen, port).String()
		l := startLAN(t, cfg)
		for _, host := range hosts {
			lanTool(t, cfg).want(netip.AddrPortFrom(netip.MustParseAddr(host), port), "Device ID", "mc", "info")
		}
		l.end()
	}
}
