package trust

import "fmt"

// Role is what the holder of a certificate is to the cluster.
type Role uint8

// Roles. The zero Role is nobody.
const (
	Replica  Role = iota + 1 // a shelf manager process; may speak raft
	Node                     // the controller of one slot
	Admin                    // may do everything that people may do
	Operator                 // may operate what is there, not change who may
	Viewer                   // may look
)

var roleNames = [...]string{Replica: "replica", Node: "node", Admin: "admin", Operator: "operator", Viewer: "viewer"}

func (r Role) String() string {
	if r != 0 && int(r) < len(roleNames) {
		return roleNames[r]
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// ParseRole reads a role by its name in lower case.
func ParseRole(s string) (Role, error) {
	for r, name := range roleNames {
		if r != 0 && name == s {
			return Role(r), nil
		}
	}
	return 0, fmt.Errorf("role %q: want replica, node, admin, operator or viewer", s)
}

// daemon reports whether certificates of r are also shown by servers.
func (r Role) daemon() bool { return r == Replica || r == Node }
