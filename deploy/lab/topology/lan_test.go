package topology

import "testing"

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
