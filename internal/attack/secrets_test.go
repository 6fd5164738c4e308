package attack

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node"
)

// S9: a password is never told, neither by a command nor in a log; it is in no
// file but sealed, apart from the one that gives it to its owner; and nobody
// else reads any file. (What is left in memory is TestAttackS9Memory's.)
func TestAttackS9Secrets(t *testing.T) {
	b := lone(t)
	mallory := b.promote(t)
	c := b.door.login(t).raise()
	secrets := [][]byte{[]byte(b.door.password), []byte(mallory.password)}
	told := func(where string, text []byte) {
		t.Helper()
		for i, s := range secrets {
			for _, form := range [][]byte{s, s[:8], s[8:], fmt.Appendf(nil, "%x", s[:8]), fmt.Appendf(nil, "% x", s[:8])} {
				if bytes.Contains(text, form) {
					t.Errorf("%s tells password %d", where, i)
				}
			}
		}
	}
	asked := 0
	for _, n := range []ipmb.NetFn{ipmb.NetFnChassis, ipmb.NetFnSensor, ipmb.NetFnApp, ipmb.NetFnStorage, ipmb.NetFnTransport} {
		for cmd := range 256 {
			if changes[[2]byte{byte(n), byte(cmd)}] {
				continue
			}
			for _, data := range [][]byte{nil, {0}, {1}, {2}, {3}, {1, 2}, {1, 3}, {0x0E, 2}, {2, 0}, {3, 0, 0}, {1, 16, 0, 0}, {0, 0, 0, 0, 0, 0xFF}} {
				got := c.do(n, ipmb.Cmd(cmd), data...)
				told("an answer over LAN", got)
				if got[0] == byte(ipmb.ErrInvalidCommand) {
					break
				}
				if got[0] == 0 {
					asked++
				}
				_, got, err := b.guest.Do(t.Context(), n, 0, ipmb.Cmd(cmd), data)
				if err != nil {
					t.Fatal(err)
				}
				told("an answer to the guest", got)
			}
		}
	}
	if asked < 100 {
		t.Errorf("only %d questions were answered", asked)
	}
	wrong := b.door
	wrong.password = mallory.password
	if got := wrong.stranger(t).logIn(); got == 0 {
		t.Error("a wrong password comes in")
	}
	mallory.login(t)
	steal := order{"", ipmb.NetFnApp, 0x47, append([]byte{2, 2}, mallory.password...)}
	if code, _ := c.bridged(steal.to(victim)); code != 0xD4 { // and this is logged
		t.Errorf("bridged: %02x", code)
	}
	if b.log.String() == "" {
		t.Fatal("there is no log")
	}
	told("the log", []byte(b.log.String()))
	told("the status", []byte(b.Status().String()))
	b.files(t, told)
}

// changes are the commands that would end the node, its sessions or its users.
var changes = map[[2]byte]bool{
	{0, 0x02}: true, {0, 0x03}: true, {6, 0x02}: true, {6, 0x03}: true, {6, 0x05}: true, {6, 0x24}: true, {6, 0x22}: true,
	{6, 0x3B}: true, {6, 0x3C}: true, {6, 0x40}: true, {6, 0x43}: true, {6, 0x45}: true, {6, 0x47}: true, {6, 0x60}: true,
	{6, 0x62}: true, {6, 0x64}: true, {0x0C, 0x01}: true,
}

// files looks at all that the node has written: who may read it, and what it tells.
func (b *blade) files(t *testing.T, told func(where string, text []byte)) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(b.cfg.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if open := info.Mode().Perm() & 0o077; open != 0 {
			t.Errorf("%s: others may %v", path, info.Mode())
		}
		if !d.Type().IsRegular() || d.Name() == node.LANPasswordFile {
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil {
			seen++
			told(path, text)
		}
		return err
	})
	if err != nil || seen < 3 {
		t.Errorf("%d files, %v", seen, err)
	}
}
