package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadConfig(t *testing.T) {
	for text, want := range map[string]string{
		`{"shelf":"lab","slot":1,"name":"b","profile":"atca","interface":"kcs","dir":"d","api":"","pki":"p","replicas":[{"name":"a","address":"h:1"}]}`: "",
		`{"interface":"kcs","dir":"d","listen":[{"address":"unix:/a"}]}`:                                                                                "",
		`{"interface":"kcs","dir":"d","listen":[{"address":"unix:/a"}],"alerts":["127.0.0.1:16200"]}`:                                                   "",
		`{"interface":"kcs","dir":"d","listen":[{"address":"unix:/a"}],"alerts":["127.0.0.1"]}`:                                                         "alerts",
		`{"interface":"kcs","dir":"d","watchdog_clock":"wall","listen":[{"address":"unix:/a"}]}`:                                                        "",
		`{"interface":"kcs","dir":"d","sel":{"capacity":64,"overflow":"refuse"},"listen":[{"address":"unix:/a"}]}`:                                      "",
		`{"interface":"kcs","dir":"d","sel":{"capacity":63},"listen":[{"address":"unix:/a"}]}`:                                                          "sel: capacity",
		`{"interface":"kcs","dir":"d","sel":{"overflow":"newest"},"listen":[{"address":"unix:/a"}]}`:                                                    "sel: overflow",
		`{"interface":"kcs","dir":"d","watchdog_clock":"sun","listen":[{"address":"unix:/a"}]}`:                                                         "watchdog_clock",

		`{"interface":"kcs","dir":"d"}`:                                                                                       "--vm",
		`{"interface":"kcs","listen":[{"address":"unix:/a"}]}`:                                                                "dir",
		`{"interface":"xt","dir":"d","listen":[{"address":"unix:/a"}]}`:                                                       "xt",
		`{"shelf":"lab","slot":0,"profile":"atca","interface":"kcs","dir":"d"}`:                                               "slot",
		`{"shelf":"lab","slot":9,"profile":"pc","interface":"kcs","dir":"d"}`:                                                 "profile",
		`{"shelf":"lab","slot":9,"profile":"atca","interface":"kcs","dir":"d"}`:                                               "replicas",
		`{"interface":"kcs","dir":"d","listen":[{"address":"unix:/a"}],"power":{"qmp":"unix:/q"},"on_guest_poweroff":"stay"}`: "",
		`{"interface":"kcs","dir":"d","listen":[{"address":"unix:/a"}],"power":{}}`:                                           "power: want one of",
		`{"interface":"kcs","dir":"d","vm":{},"power":{"qmp":"unix:/q"}}`:                                                     "power: is for",
		`{"interface":"kcs","dir":"d","listen":[{"address":"unix:/a"}],"on_guest_poweroff":"go"}`:                             "on_guest_poweroff",
		`{"interface":"kcs","dir":"d","listen":[{"address":"unix:/a"}],"on_guest_poweroff":"deactivate"}`:                     "profile atca",
		`{"shelf":"lab","slot":9,"profile":"server","interface":"kcs","dir":"d","on_guest_poweroff":"deactivate"}`:            "profile atca",

		`{"power":{"hook":{"onn":[]}}}`: "onn",
		`{"speed":1}`:                   "speed",
		`{`:                             "EOF",

		`{"shelf":"lab","slot":9,"profile":"fan-tray","interface":"","dir":"d","pki":"p","replicas":[{"name":"a","address":"h:1"}]}`:    "",
		`{"shelf":"lab","slot":9,"profile":"fan-tray","interface":"kcs","dir":"d","pki":"p","replicas":[{"name":"a","address":"h:1"}]}`: "a fan tray belongs to a shelf and has no VM",
		`{"shelf":"lab","slot":9,"profile":"fan-tray","dir":"d","pki":"p","listen":[{"address":"unix:/a"}]}`:                            "a fan tray belongs to a shelf and has no VM",
		`{"interface":"kcs","dir":"d","listen":[{"address":"unix:/a"}],"lan":{"listen":"127.77.0.1:623"}}`:                              "",
		`{"interface":"kcs","dir":"d","vm":{},"console":{"socket":"/c"}}`:                                                               "console: is for",
		`{"interface":"kcs","dir":"d","listen":[{"address":"unix:/a"}],"console":{"chardev":"c"}}`:                                      "console: socket",
		`{"interface":"kcs","dir":"d","listen":[{"address":"unix:/a"}],"lan":{"listen":"localhost:623"}}`:                               "lan: listen: ",
		`{"interface":"kcs","dir":"d","listen":[{"address":"unix:/a"}],"lan":{"allow":["127.77.0.0/16:6230"],"style":"embedded"}}`:      "",
		`{"interface":"kcs","dir":"d","listen":[{"address":"unix:/a"}],"lan":{"allow":["127.77.0.1"]}}`:                                 "lan: allow: ",
		`{"interface":"kcs","dir":"d","listen":[{"address":"unix:/a"}],"lan":{"style":"both"}}`:                                         "lan: style: ",
	} {
		path := filepath.Join(t.TempDir(), "node.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := ReadConfig(path)
		if err == nil {
			err = c.Check()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := ReadConfig(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("read a file that is not there")
	}
}

func TestAddresses(t *testing.T) {
	if a := (&Config{Shelf: "lab", Slot: 2}).Addr(); a != 0x84 {
		t.Errorf("slot 2 has %v", a)
	}
	if a := (&Config{}).Addr(); a != 0x20 {
		t.Errorf("a lone node has %v", a)
	}
}

func TestListen(t *testing.T) {
	for s, ok := range map[string]bool{
		"unix:/run/vm.sock": true, "tcp:127.0.0.1:0": true,
		"": false, "unix:": false, "/run/vm.sock": false, "udp:1": false,
	} {
		if _, err := ParseListen(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
	ln, err := Listen{Address: "tcp:127.0.0.1:0"}.open()
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	path := filepath.Join(t.TempDir(), "vm")
	ln, err = Listen{Address: "unix:" + path, Mode: 0o660}.open()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	_ = ln.Close()
	if _, err := (Listen{Address: "carrier pigeon"}).open(); err == nil {
		t.Error("opened")
	}
}
