package trust

import (
	"net/url"
	"strings"
	"testing"
)

func TestIdentityBothWays(t *testing.T) {
	for uri, want := range map[string]Identity{
		"midplane://c1/replica/shm1":             {Role: Replica, Cluster: "c1", Name: "shm1"},
		"midplane://c1/node/lab/2":               {Role: Node, Cluster: "c1", Shelf: "lab", Slot: 2},
		"midplane://A-b9/node/rack.7_top-x/255":  {Role: Node, Cluster: "A-b9", Shelf: "rack.7_top-x", Slot: 255},
		"midplane://c1/admin/ann.o-k":            {Role: Admin, Cluster: "c1", Name: "ann.o-k"},
		"midplane://c1/operator/1":               {Role: Operator, Cluster: "c1", Name: "1"},
		"midplane://" + uuid + "/viewer/grafana": {Role: Viewer, Cluster: uuid, Name: "grafana"},
	} {
		got, err := ParseIdentity(uri)
		if err != nil || got != want {
			t.Errorf("ParseIdentity(%q) = %+v, %v; want %+v", uri, got, err, want)
		}
		if got.URI() != uri {
			t.Errorf("URI() = %q, want %q", got.URI(), uri)
		}
	}
}

const uuid = "0d9f4a52-7f1e-4a5c-9f6a-2b1f0c3d4e5f"

func TestIdentityRefused(t *testing.T) {
	long := strings.Repeat("x", maxToken+1)
	for _, uri := range []string{
		"", "midplane://", "midplane:///admin/a", "midplane://c1", "midplane://c1/", "https://c1/admin/a", "MIDPLANE://c1/admin/a",
		"midplane://c1/root/a", "midplane://c1/Admin/a", "midplane://c1/admin", "midplane://c1/admin/", "midplane://c1/admin/a/b",
		"midplane://c1/admin/a%20b", "midplane://c1/admin/..", "midplane://c1/admin/-a", "midplane://c1/admin/a?x", "midplane://c1/admin/ä",
		"midplane://c1/node/lab", "midplane://c1/node/lab/0", "midplane://c1/node/lab/02", "midplane://c1/node/lab/+2",
		"midplane://c1/node/lab/256", "midplane://c1/node/lab/x", "midplane://c1/node//2", "midplane://c1/node/lab/2/3",
		"midplane://c.1/admin/a", "midplane://c1-/admin/a", "midplane://c1:80/admin/a", "midplane://u@c1/admin/a",
		"midplane://" + long + "/admin/a", "midplane://c1/admin/" + long,
	} {
		if id, err := ParseIdentity(uri); err == nil || id != (Identity{}) {
			t.Errorf("ParseIdentity(%q) = %+v, %v; want an error", uri, id, err)
		}
	}
}

func TestIdentityMatches(t *testing.T) {
	id := Identity{Role: Node, Cluster: "c1", Shelf: "lab", Slot: 2}
	for _, tc := range []struct {
		want Identity
		ok   bool
	}{
		{Identity{}, true},
		{Identity{Role: Node}, true},
		{id, true},
		{Identity{Role: Node, Slot: 2}, true},
		{Identity{Role: Replica}, false},
		{Identity{Role: Node, Slot: 3}, false},
		{Identity{Role: Node, Shelf: "other"}, false},
		{Identity{Cluster: "c2"}, false},
		{Identity{Name: "x"}, false},
	} {
		if got := id.Matches(tc.want); got != tc.ok {
			t.Errorf("Matches(%+v) = %v, want %v", tc.want, got, tc.ok)
		}
	}
}

func TestValidateMixedUpFields(t *testing.T) {
	for _, id := range []Identity{
		{},
		{Role: 9, Cluster: "c1", Name: "a"},
		{Role: Admin, Cluster: "c1", Name: "a", Slot: 1},
		{Role: Admin, Cluster: "c1", Name: "a", Shelf: "lab"},
		{Role: Node, Cluster: "c1", Shelf: "lab", Slot: 1, Name: "a"},
	} {
		if id.Validate() == nil {
			t.Errorf("%+v is valid", id)
		}
	}
}

// What parses is written back unchanged, also through a URL as certificates
// have it, and names files inside its directory only.
func FuzzParseIdentity(f *testing.F) {
	for _, s := range []string{"midplane://c1/replica/shm1", "midplane://c1/node/lab/2", "midplane://c1/admin/../x", "midplane://c1/node/a-1/2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseIdentity(s)
		if err != nil {
			return
		}
		if id.URI() != s || id.Validate() != nil {
			t.Fatalf("%q became %q (%v)", s, id.URI(), id.Validate())
		}
		u, err := url.Parse(s)
		if err != nil || u.String() != s || u.Host != id.Cluster {
			t.Fatalf("%q as a URL: %v, %v", s, u, err)
		}
		if strings.ContainsAny(id.base(), "/\x00") || strings.HasPrefix(id.base(), ".") {
			t.Fatalf("%q names the file %q", s, id.base())
		}
	})
}
