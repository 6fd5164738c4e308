//go:build e2e

package node

import (
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/ipmb/rmcp"
)

// lanSite is a lone node with a LAN door, and how clients reach it.
type lanSite struct {
	*running
	t                    *testing.T
	host, port, password string
}

// openLAN starts one.
func openLAN(t *testing.T, s rmcp.Settings) *lanSite {
	t.Helper()
	cfg := lone(t)
	cfg.LAN.Listen, cfg.LAN.Settings = freeAddress(t), s
	var err error
	r := run(t, cfg, nil)
	t.Cleanup(func() {
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
	connect(t, cfg)
	l := &lanSite{running: r, t: t}
	if l.password, err = lanPassword(filepath.Join(cfg.Dir, LANPasswordFile)); err != nil {
		t.Fatal(err)
	}
	if l.host, l.port, err = net.SplitHostPort(cfg.LAN.Listen); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *lanSite) ipmitool(args ...string) []string {
	return append([]string{"ipmitool", "-H", l.host, "-p", l.port, "-U", LANUser, "-P", l.password}, args...)
}

func (l *lanSite) freeipmi(tool string, args ...string) []string {
	return append([]string{tool, "-h", net.JoinHostPort(l.host, l.port), "-u", LANUser, "-p", l.password}, args...)
}

// client is a command of a real client's, and what must be in its output.
type client struct {
	command []string
	want    string // empty: it fails
}

// try runs clients.
func (l *lanSite) try(clients ...client) {
	l.t.Helper()
	for _, c := range clients {
		out, err := exec.Command(c.command[0], c.command[1:]...).CombinedOutput()
		shown := strings.ReplaceAll(strings.Join(c.command, " "), l.password, "…")
		if (c.want == "") != (err != nil) || !strings.Contains(string(out), c.want) {
			l.t.Errorf("%s: %v\n%s", shown, err, out)
		}
	}
}

const deviceBytes = "20 81 00 10 02"

// Sessions of IPMI 1.5 are there when somebody wants them.
func TestE2ELAN15(t *testing.T) {
	l := openLAN(t, rmcp.Settings{V15: []string{"md5", "password"}})
	tool := func(auth string, args ...string) []string {
		return l.ipmitool(append([]string{"-I", "lan", "-A", auth}, args...)...)
	}
	free := func(auth string, args ...string) []string {
		return l.freeipmi("ipmi-raw", append([]string{"-D", "LAN", "-a", auth}, args...)...)
	}
	l.try(
		client{tool("MD5", "mc", "info"), "Provides Device SDRs      : yes"},
		client{tool("PASSWORD", "raw", "6", "1"), deviceBytes},
		client{l.ipmitool("-I", "lan", "raw", "6", "1"), deviceBytes},
		client{tool("MD5", "-t", "0x20", "-b", "0", "raw", "6", "1"), deviceBytes},
		client{tool("MD5", "-T", "0x20", "-B", "0", "-t", "0x20", "-b", "0", "raw", "6", "1"), deviceBytes},
		client{tool("MD5", "-L", "USER", "chassis", "power", "cycle"), ""},
		client{tool("MD5", "session", "info", "all"), "session type                  : IPMIv1.5"},
		client{tool("MD5", "sel", "info"), "Version"},
		client{tool("MD5", "lan", "print", "1"), "User     : MD5 PASSWORD"},
		client{tool("MD5", "channel", "authcap", "1", "4"), "IPMI v1.5  auth types      : MD5 PASSWORD"},
		client{l.freeipmi("bmc-info", "-D", "LAN"), "Device SDRs           : supported"},
		client{free("MD5", "0", "6", "1"), deviceBytes},
		client{free("STRAIGHT_PASSWORD_KEY", "0", "6", "1"), deviceBytes},
		client{free("MD5", "--target-channel-number=0", "--target-slave-address=0x20", "0", "6", "1"), deviceBytes},
		client{free("NONE", "0", "6", "1"), ""},
		client{free("MD2", "0", "6", "1"), ""},
		client{[]string{"openipmicmd", "-k", "0f 0 6 1", "lan", "-U", LANUser, "-P", l.password, "-A", "md5", "-p", l.port, l.host}, deviceBytes},
		client{l.ipmitool("-I", "lanplus", "raw", "6", "1"), deviceBytes},
	)
}

// Suites are those that were chosen, and those that sign nothing need a word more.
// ipmitool does not know MD5-128, which suite 12 is signed with; FreeIPMI does.
func TestE2ELANSuites(t *testing.T) {
	suite := func(l *lanSite, id string) []string { return l.ipmitool("-I", "lanplus", "-C", id, "raw", "6", "1") }
	free := func(l *lanSite, id string) []string {
		return l.freeipmi("ipmi-raw", "-D", "LAN_2_0", "-I", id, "0", "6", "1")
	}
	standard := openLAN(t, rmcp.Settings{})
	for _, id := range []string{"0", "1", "2", "8", "12", "15"} {
		standard.try(client{suite(standard, id), ""})
	}
	chosen := openLAN(t, rmcp.Settings{Suites: []int{17, 3, 8, 12, 2, 1, 0}, Unsafe: true})
	for _, id := range []string{"0", "1", "2", "3", "8", "17"} {
		chosen.try(client{suite(chosen, id), deviceBytes}, client{free(chosen, id), deviceBytes})
	}
	chosen.try(
		client{free(chosen, "12"), deviceBytes},
		client{chosen.ipmitool("-I", "lanplus", "-C", "1", "-P", "wrong", "raw", "6", "1"), ""},
		client{chosen.ipmitool("-I", "lanplus", "-C", "0", "-U", "", "raw", "6", "1"), ""},
		client{chosen.ipmitool("-I", "lanplus", "lan", "print", "1"), "RMCP+ Cipher Suites     : 17,3,8,12,2,1,0"},
		client{chosen.ipmitool("-I", "lanplus", "channel", "getciphers", "ipmi", "1"), "md5_128"},
	)
}

// What a user may is what his limit says, and who has no name or no password
// is nobody. OpenIPMI can look users up by name and privilege; the others do by
// name alone, and find the first of two.
func TestE2ELANUsers(t *testing.T) {
	l := openLAN(t, rmcp.Settings{V15: []string{"md5"}})
	for _, u := range []struct{ id, name, password, level string }{
		{"3", "oper", "secret16", "3"},
		{"4", "twin", "first16", "2"},
		{"5", "twin", "second16", "4"},
		{"1", "", "nullnull", "4"},
		{"6", "blank", "", "4"},
	} {
		var commands [][]string
		if u.name != "" {
			commands = append(commands, []string{"user", "set", "name", u.id, u.name})
		}
		if u.password != "" {
			commands = append(commands, []string{"user", "set", "password", u.id, u.password})
		}
		for _, c := range append(commands, []string{"user", "enable", u.id}, []string{"channel", "setaccess", "1", u.id, "ipmi=on", "privilege=" + u.level}) {
			command := l.ipmitool(append([]string{"-I", "lanplus"}, c...)...)
			if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%q: %v\n%s", c, err, out)
			}
		}
	}
	tool := func(user, password string, args ...string) []string {
		return append([]string{"ipmitool", "-I", "lanplus", "-H", l.host, "-p", l.port, "-U", user, "-P", password}, args...)
	}
	free := func(user, password, level string) []string {
		return []string{"ipmi-raw", "-h", net.JoinHostPort(l.host, l.port), "-D", "LAN_2_0", "-u", user, "-p", password, "-l", level, "0", "6", "1"}
	}
	open := func(user, password, level string, more ...string) []string {
		return append(append([]string{"openipmicmd", "-k", "0f 0 6 1", "lan", "-U", user, "-P", password, "-A", "rmcp+", "-L", level, "-p", l.port}, more...), l.host)
	}
	l.try(
		client{tool("oper", "secret16", "-L", "OPERATOR", "raw", "6", "1"), deviceBytes},
		client{tool("oper", "secret16", "-L", "USER", "chassis", "power", "cycle"), ""},
		client{tool("oper", "secret16", "-L", "ADMINISTRATOR", "raw", "6", "1"), ""},
		client{tool("oper", "secret16", "raw", "6", "1"), ""}, // asks for ADMINISTRATOR
		client{free("oper", "secret16", "OPERATOR"), deviceBytes},
		client{free("oper", "secret16", "ADMIN"), ""},
		client{open("twin", "second16", "admin", "-Rl"), deviceBytes},
		client{open("twin", "first16", "user", "-Rl"), deviceBytes},
		client{open("twin", "second16", "admin"), ""},
		client{tool("twin", "first16", "-L", "USER", "raw", "6", "1"), deviceBytes},
		client{tool("twin", "second16", "raw", "6", "1"), ""},
		client{tool("", "nullnull", "raw", "6", "1"), ""},
		client{tool("", "", "raw", "6", "1"), ""},
		client{tool("blank", "", "raw", "6", "1"), ""},
		client{tool(LANUser, "", "raw", "6", "1"), ""},
		client{tool("", "nullnull", "-C", "3", "raw", "6", "1"), ""},
	)
}

// A suite has a limit, and one without is not to be used.
func TestE2ELANSuiteLimits(t *testing.T) {
	l := openLAN(t, rmcp.Settings{})
	tool := func(args ...string) []string { return l.ipmitool(append([]string{"-I", "lanplus"}, args...)...) }
	set := func(privileges string) {
		command := tool("lan", "set", "1", "cipher_privs", privileges)
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	l.try(client{tool("lan", "print", "1"), "Cipher Suite Priv Max   : XXXaXXXXXXXXXXX"})
	set("XXXuXXXXXXXXXXX")
	l.try(
		client{tool("lan", "print", "1"), "Cipher Suite Priv Max   : XXXuXXXXXXXXXXX"},
		client{tool("-C", "3", "raw", "6", "1"), ""}, // asks for ADMINISTRATOR
		client{tool("-C", "3", "-L", "USER", "raw", "6", "1"), deviceBytes},
		client{tool("-C", "17", "raw", "6", "1"), deviceBytes},
	)
	set("XXXXXXXXXXXXXXX")
	l.try(
		client{tool("-C", "3", "-L", "USER", "raw", "6", "1"), ""},
		client{tool("raw", "6", "1"), deviceBytes},
	)
}
