package trust

import (
	"fmt"
	"strconv"
	"strings"
)

// scheme starts every identity URI.
const scheme = "midplane://"

// Bounds of the parts of an identity.
const (
	maxToken = 63
	maxSlot  = 255
)

// Identity is who a certificate speaks for. A Node has Shelf and Slot, every
// other role has Name.
type Identity struct {
	Role    Role
	Cluster string // cluster ID: letters, digits and inner hyphens, at most 63
	Shelf   string
	Slot    int // logical slot number, from 1
	Name    string
}

// ParseIdentity reads an identity URI; it is the inverse of Identity.URI and
// accepts nothing that URI would not write.
func ParseIdentity(uri string) (Identity, error) {
	rest, ok := strings.CutPrefix(uri, scheme)
	if !ok {
		return Identity{}, fmt.Errorf("identity %q: want %sCLUSTER/ROLE/NAME", uri, scheme)
	}
	cluster, subject, _ := strings.Cut(rest, "/")
	return ParseSubject(cluster, subject)
}

// ParseSubject reads the part of an identity behind the cluster ID, such as
// "replica/shm1" or "node/lab/2".
func ParseSubject(cluster, subject string) (Identity, error) {
	parts := strings.Split(subject, "/")
	role, err := ParseRole(parts[0])
	if err != nil {
		return Identity{}, fmt.Errorf("identity %q: %w", subject, err)
	}
	id := Identity{Role: role, Cluster: cluster}
	switch {
	case role == Node && len(parts) == 3:
		id.Shelf = parts[1]
		id.Slot, err = parseSlot(parts[2])
	case role == Node:
		err = fmt.Errorf("want node/SHELF/SLOT")
	case len(parts) == 2:
		id.Name = parts[1]
	default:
		err = fmt.Errorf("want %s/NAME", role)
	}
	if err == nil {
		err = id.Validate()
	}
	if err != nil {
		return Identity{}, fmt.Errorf("identity %q: %w", subject, err)
	}
	return id, nil
}

// Validate reports what makes id unfit for a certificate.
func (id Identity) Validate() error {
	if err := validCluster(id.Cluster); err != nil {
		return err
	}
	if id.Role == Node {
		return id.validateNode()
	}
	if _, err := ParseRole(id.Role.String()); err != nil {
		return err
	}
	if id.Shelf != "" || id.Slot != 0 {
		return fmt.Errorf("a %s has a name, no shelf or slot", id.Role)
	}
	return validToken("name", id.Name)
}

func (id Identity) validateNode() error {
	if id.Slot < 1 || id.Slot > maxSlot {
		return fmt.Errorf("slot %d: want 1 to %d", id.Slot, maxSlot)
	}
	if id.Name != "" {
		return fmt.Errorf("a node has a shelf and a slot, no name")
	}
	return validToken("shelf", id.Shelf)
}

// Subject is the identity within its cluster: "replica/shm1", "node/lab/2".
func (id Identity) Subject() string { return id.join("/") }

// URI is the identity as certificates carry it.
func (id Identity) URI() string { return scheme + id.Cluster + "/" + id.Subject() }

func (id Identity) String() string { return id.URI() }

// base is the name of the identity's files, without extension. No role's name
// has a hyphen and a node's slot comes last, so two identities never share one.
func (id Identity) base() string { return id.join("-") }

func (id Identity) join(sep string) string {
	if id.Role == Node {
		return id.Role.String() + sep + id.Shelf + sep + strconv.Itoa(id.Slot)
	}
	return id.Role.String() + sep + id.Name
}

// Matches reports whether id is what want asks for; zero fields of want match
// anything.
func (id Identity) Matches(want Identity) bool {
	return matches(id.Role, want.Role) && matches(id.Cluster, want.Cluster) &&
		matches(id.Shelf, want.Shelf) && matches(id.Slot, want.Slot) && matches(id.Name, want.Name)
}

func matches[T comparable](have, want T) bool {
	var zero T
	return want == zero || have == want
}

// parseSlot reads a decimal number in the one way in which it is written.
func parseSlot(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || strconv.Itoa(n) != s {
		return 0, fmt.Errorf("slot %q: want a decimal number", s)
	}
	return n, nil
}

// validCluster allows what a URI's host may be, since it stands there.
func validCluster(s string) error {
	if err := validToken("cluster ID", s); err != nil {
		return err
	}
	if strings.ContainsAny(s, "._") || strings.HasSuffix(s, "-") {
		return fmt.Errorf("cluster ID %q: want letters, digits and inner hyphens", s)
	}
	return nil
}

// validToken allows what needs no escaping in a URI and is safe in a file name.
func validToken(what, s string) error {
	if s == "" || len(s) > maxToken {
		return fmt.Errorf("%s %q: want 1 to %d characters", what, s, maxToken)
	}
	for i, c := range []byte(s) {
		if !alnum(c) && (i == 0 || !strings.ContainsRune("._-", rune(c))) {
			return fmt.Errorf("%s %q: want letters, digits and inner '.', '_', '-'", what, s)
		}
	}
	return nil
}

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
