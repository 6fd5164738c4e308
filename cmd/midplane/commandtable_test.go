package main

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node"
	"github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/manager"
	"github.com/midplane-project/midplane/shelf/state"
)

var update = flag.Bool("update", false, "write the generated documents anew")

// TestCommandTable keeps docs/commands.md what the command rows say.
func TestCommandTable(t *testing.T) {
	var b strings.Builder
	b.WriteString("# The commands that are served\n\n")
	b.WriteString("Made from the rows of the command tables; `go test ./cmd/midplane -run CommandTable -update` writes it anew.\n")
	b.WriteString("*Effect*: a repeat of the request gets the first answer and is not done again.\n\n")
	writeTable(&b, "A node (profile `atca`)", nodeCommands(t, node.ProfileATCA))
	writeTable(&b, "A node (profile `fan-tray`)", nodeCommands(t, node.ProfileFanTray))
	writeTable(&b, "A node (profile `server`, and standalone)", nodeCommands(t, node.ProfileServer))
	writeTable(&b, "The shelf manager at 0x20", managerCommands(t))
	keepDocument(t, "../../docs/commands.md", b.String())
}

// keepDocument compares a generated document with what it should be, or with
// -update makes it that.
func keepDocument(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Errorf("%s is not what the rows say: run this test with -update", path)
	}
}

func writeTable(b *strings.Builder, title string, rows []ipmb.Command) {
	fmt.Fprintf(b, "## %s\n\n| NetFn/Cmd | name | privilege | from | effect | layout from |\n|---|---|---|---|---|---|\n", title)
	for _, c := range rows {
		id := fmt.Sprintf("%02X/%02X", uint8(c.NetFn), uint8(c.Cmd))
		if c.NetFn == ipmb.NetFnGroup {
			id = fmt.Sprintf("%02X/%02X body %02X", uint8(c.NetFn), uint8(c.Cmd), uint32(c.Body))
		}
		from := map[ipmb.Access]string{ipmb.Anywhere: "anywhere", ipmb.SystemOnly: "own guest", ipmb.NotGuest: "no guest"}[c.Access]
		effect := ""
		if c.Effect {
			effect = "yes"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", id, c.Name, c.Privilege, from, effect, c.Ref)
	}
	b.WriteString("\n")
}

func nodeCommands(t *testing.T, profile string) []ipmb.Command {
	dir := t.TempDir()
	cfg := node.Config{Dir: dir, Name: "n", Interface: "kcs", Listen: []node.Listen{{Address: "unix:" + filepath.Join(dir, "s")}}}
	if profile == node.ProfileFanTray {
		cfg.Interface, cfg.Listen = "", nil
	}
	if profile != node.ProfileServer {
		cfg.Shelf, cfg.Slot, cfg.Profile, cfg.PKI = "s", 1, profile, dir
		cfg.Replicas = []node.Replica{{Name: "shm1", Address: "127.0.0.1:1"}}
	}
	n, err := node.New(cfg, node.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	return n.Commands()
}

func managerCommands(t *testing.T) []ipmb.Command {
	fsm := state.NewFSM(state.New(state.Config{}), func(err error) { t.Error(err) })
	m := manager.New(manager.Config{Shelf: "s", State: fsm, Presence: func(string) []*midplanev1.Presence { return nil }})
	return m.Commands()
}
