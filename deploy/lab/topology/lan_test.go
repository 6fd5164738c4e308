package topology

import (
	"fmt"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// A node's own word goes before the defaults', and that before the shelf's.
func TestWhichNodesHaveADoor(t *testing.T) {
	for _, tt := range []struct {
		name, head, node string
		on               bool
		listen           string
	}{
		{"nothing said", "", "", true, ""},
		{"shelf off", "lan: off\n", "", false, ""},
		{"shelf off, as a truth value", "lan: false\n", "", false, ""},
		{"shelf on", "lan: on\n", "", true, ""},
		{"shelf off, node on", "lan: off\n", ", lan: on", true, ""},
		{"shelf off, node has an address", "lan: off\n", ", lan: {listen: '127.0.0.1:9'}", true, "127.0.0.1:9"},
		{"defaults off", "defaults: {lan: off}\n", "", false, ""},
		{"defaults off, node on", "defaults: {lan: off}\n", ", lan: true", true, ""},
		{"defaults on, shelf off", "lan: off\ndefaults: {lan: on}\n", "", true, ""},
		{"node off", "", ", lan: off", false, ""},
		{"shelf off, node may move", "lan: off\n", ", lan: {allow: ['127.78.0.0/16:6230'], style: embedded}", true, ""},
		{"a fan tray has one too", "", ", profile: fan-tray", true, ""},
	} {
		s, err := Parse("shelf.yaml", []byte("name: d\n"+tt.head+"nodes:\n- {slot: 1, name: a"+tt.node+"}\n"))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if l := s.Nodes[0].LAN; l.On() != tt.on || l.Listen != tt.listen {
			t.Errorf("%s: %+v", tt.name, l)
		}
	}
}

// What is said of doors reaches the nodes, survives being written down, and is
// checked.
func TestWhatDoorsAreLike(t *testing.T) {
	const text = `name: d
lan: {style: embedded, suites: [17, 8, 1], unsafe_suites: true, v15: [md5, password]}
defaults: {lan: {suites: [3], style: embedded, allow: ["127.77.1.0/24:6230"]}}
nodes:
- {slot: 1, name: a}
- {slot: 2, name: b, lan: {suites: [17, 0], unsafe_suites: true, v15: [md5], listen: "127.0.0.1:9"}}
- {slot: 3, name: c, lan: off}
`
	s, err := Parse("shelf.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []NodeLAN{
		{Switch: "on", Suites: []int{3}, Style: "embedded", Allow: []string{"127.77.1.0/24:6230"}},
		{
			Switch: "on", Listen: "127.0.0.1:9", Suites: []int{17, 0}, Unsafe: true, V15: []string{"md5"},
			Style: "embedded", Allow: []string{"127.77.1.0/24:6230"},
		},
		{Switch: "off"},
	}
	written, err := yaml.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("again.yaml", written)
	if err != nil {
		t.Fatalf("%v\n%s", err, written)
	}
	door := LAN{Password: PasswordShared, Style: "embedded", Suites: []int{17, 8, 1}, Unsafe: true, V15: []string{"md5", "password"}}
	for what, got := range map[string]LAN{"read": s.LAN, "written down": again.LAN} {
		if fmt.Sprint(got) != fmt.Sprint(door) {
			t.Errorf("the shelf manager's door, %s: %+v, want %+v", what, got, door)
		}
	}
	for i, w := range want {
		if got := s.Nodes[i].LAN; i < 2 && fmt.Sprint(got) != fmt.Sprint(w) || got.Switch != w.Switch {
			t.Errorf("%d: %+v, want %+v", i, got, w)
		}
		if got := again.Nodes[i].LAN; i < 2 && fmt.Sprint(got) != fmt.Sprint(w) || got.Switch != w.Switch {
			t.Errorf("%d, written down: %+v, want %+v", i, got, w)
		}
	}
	for lan, words := range map[string]string{
		"{allow: [here]}":              "lan.allow",
		"{style: loud}":                "neither split nor embedded",
		"{suites: [4]}":                "4 is none of",
		"{suites: [17, 17]}":           "stands twice",
		"{suites: [0]}":                "unsafe_suites only",
		"{v15: [none]}":                "neither md5 nor password",
		"{suites: [3], nonsense: yes}": "nonsense",
	} {
		for where, text := range map[string]string{
			"node":  "name: d\nnodes:\n- {slot: 1, name: a, lan: " + lan + "}\n",
			"shelf": "name: d\nlan: " + lan + "\nnodes:\n- {slot: 1, name: a}\n",
		} {
			words := words
			if where == "shelf" && strings.Contains(lan, "allow") { // nobody moves it
				words = "unknown field"
			}
			if _, err := Parse("shelf.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %s: %v", where, lan, err)
			}
		}
	}
}
