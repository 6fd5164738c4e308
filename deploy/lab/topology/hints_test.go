package topology

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHints(t *testing.T) {
	const (
		anywhere = "the guest, or an administrator of the door, may open it at any address of this machine"
		first    = ", and the shelf takes the first free one: set id"
	)
	for _, c := range []struct {
		name, head, defaults, allow string
		want                        []string
	}{
		{"nothing said", "", "", "", nil},
		{"a network of one's own", "", "", "10.0.0.0/8:623", nil},
		{"anywhere", "", "", "0.0.0.0/0:623", []string{"f:3:62: nodes[1].lan.allow[0]: \"0.0.0.0/0:623\": " + anywhere}},
		{"half of everything", "", "", "0.0.0.0/1:623", []string{anywhere}},
		{"all addresses at once", "", "", "0.0.0.0:623", []string{anywhere}},
		{"anywhere, IPv6", "", "", "[::/0]:1-2", []string{anywhere}},
		{"of the defaults, once", "", "0.0.0.0/0:623", "", []string{"f:2:26: defaults.lan.allow[0]: \"0.0.0.0/0:623\": " + anywhere}},
		{"of an id", "", "", "127.77.4.128/25:623", []string{"these are addresses of id 4" + first + ": 4"}},
		{"of an id that is set", "id: 4\n", "", "127.77.4.128/25:623", nil},
		{"of some ids", "", "", "127.77.0.0/20:623", []string{"these are the addresses of some ids only" + first}},
		{"of all ids", "", "", "127.77.0.0/16:623", nil},
		{"of no id", "", "", "127.77.0.9:623", nil},
		{"beside them", "", "", "127.78.4.1:623", nil},
		{"both", "", "127.77.4.1:9", "0.0.0.0/0:623", []string{anywhere, "addresses of id 4" + first}},
	} {
		defaults, allow := "", ""
		if c.defaults != "" {
			defaults = "lan: {allow: ['" + c.defaults + "']}"
		}
		if c.allow != "" {
			allow = ", lan: {allow: ['" + c.allow + "']}"
		}
		dir := t.TempDir()
		text := "name: d\ndefaults: {" + defaults + "}\n" + c.head + "nodes: [{slot: 1, name: a}, {slot: 2, name: b" + allow + "}]\n"
		if err := os.WriteFile(filepath.Join(dir, "f"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Hints(filepath.Join(dir, "f"))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		same := len(got) == len(c.want)
		for i := 0; same && i < len(got); i++ {
			same = strings.Contains(got[i], c.want[i])
		}
		if !same {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
