package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/node"
)

// What is wrong in a node's file is told with the file and the key.
func TestNodeConfigNamesFileAndKey(t *testing.T) {
	for part, words := range map[string]string{
		`"lan": {"listen": "localhost:623"}`: "lan: listen: ",
		`"lan": {"allow": ["10.0.0.1"]}`:     "lan: allow: ",
		`"lan": {"suites": [0]}`:             "lan: suites: 0 leaves messages unsigned or readable",
		`"alerts": ["nowhere"]`:              "alerts",
		`"lan": {"v16": []}`:                 `"v16"`,
	} {
		path := filepath.Join(t.TempDir(), "node.json")
		if err := os.WriteFile(path, []byte(`{"dir": "d", "interface": "kcs", `+part+`}`), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := nodeConfig(new(app).nodeVerb(), &daemonFlags{config: path}, node.Config{}, []string{"unix:/x"}, nil, true)
		if err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", part, err)
		}
	}
}

// What has a default as a flag may be left out of a node's file.
func TestNodeConfigDefaults(t *testing.T) {
	for file, want := range map[string][2]string{
		`{}`:                      {node.ProfileATCA, "kcs"},
		`{"interface": "bt"}`:     {node.ProfileATCA, "bt"},
		`{"profile": "fan-tray"}`: {node.ProfileFanTray, ""},
	} {
		path := filepath.Join(t.TempDir(), "node.json")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := new(app).nodeVerb()
		flags := node.Config{Interface: cmd.Flag("interface").DefValue, Profile: cmd.Flag("profile").DefValue}
		c, err := nodeConfig(cmd, &daemonFlags{config: path}, flags, nil, nil, false)
		if err == nil || err.Error() != "--shelf is needed, or --standalone" {
			t.Error(err)
		}
		if got := [2]string{c.Profile, c.Interface}; got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

// Who says how the LAN door should be, and gives none, is told.
func TestNodeFlagsOfNoDoor(t *testing.T) {
	for _, args := range [][]string{{"--lan-suites", "17"}, {"--lan-v15", "md5"}, {"--lan-unsafe-suites"}} {
		for _, door := range []bool{false, true} {
			cmd := new(app).nodeVerb()
			flags := node.Config{Dir: "d", Interface: "kcs"}
			if door {
				flags.LAN.Listen = "127.0.0.1:6230"
			}
			if err := cmd.ParseFlags(args); err != nil {
				t.Fatal(err)
			}
			_, err := nodeConfig(cmd, &daemonFlags{}, flags, []string{"unix:/x"}, nil, true)
			if door != (err == nil) || !door && !strings.HasPrefix(err.Error(), args[0]+": ") {
				t.Errorf("%v, door %v: %v", args, door, err)
			}
		}
	}
}
