package guest

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

const dependsText = `ipmitool
  PreDepends: init-system-helpers
  Depends: libc6
 |Depends: libssl3
  Depends: <mail-transport-agent>
    exim4
libc6
`

func TestParseDepends(t *testing.T) {
	got := parseDepends([]byte(dependsText))
	want := []string{"init-system-helpers", "libc6", "libssl3", "exim4"}
	if !slices.Equal(got["ipmitool"], want) {
		t.Errorf("got %v, want %v", got["ipmitool"], want)
	}
	if len(got["libc6"]) != 0 {
		t.Errorf("libc6 depends on %v", got["libc6"])
	}
}

func FuzzParseDepends(f *testing.F) {
	f.Add([]byte(dependsText))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, deps := range parseDepends(text) {
			for _, dep := range deps {
				if strings.ContainsAny(dep, "\n") || strings.HasPrefix(dep, "<") {
					t.Errorf("dependency %q", dep)
				}
			}
		}
	})
}

func TestParseURIs(t *testing.T) {
	got := parseURIs([]byte("'http://deb.example.org/pool/a/acpid_2.0.33-2_amd64.deb' acpid_1%3a2.0.33-2_amd64.deb 45864 SHA256:00ff\n" +
		"'http://deb.example.org/pool/i/x.deb' linux-image-6.1.0-1-amd64_6.1.1-1_amd64.deb 7 \n"))
	want := map[string]deb{
		"acpid":                     {"acpid", "acpid_1%3a2.0.33-2_amd64.deb", "SHA256:00ff"},
		"linux-image-6.1.0-1-amd64": {"linux-image-6.1.0-1-amd64", "linux-image-6.1.0-1-amd64_6.1.1-1_amd64.deb", ""},
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if v := got["acpid"].version(); v != "acpid=1:2.0.33-2" {
		t.Errorf("version %s", v)
	}
}

func TestReachable(t *testing.T) {
	deps := graph{"a": {"b", "c"}, "b": {"a", "d"}, "e": {"f"}}
	got := slices.Sorted(maps.Keys(reachable(deps, []string{"a"})))
	if !slices.Equal(got, []string{"a", "b", "c", "d"}) {
		t.Errorf("got %v", got)
	}
}

func TestRunExplains(t *testing.T) {
	_, err := run(t.Context(), "", "no-such-program-here", "x")
	if err == nil || !strings.Contains(err.Error(), "not installed") {
		t.Errorf("got %v", err)
	}
	_, err = run(t.Context(), "", "sh", "-c", "echo why >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "exit status 3: why") {
		t.Errorf("got %v", err)
	}
}

func TestLastWords(t *testing.T) {
	if got := lastWords("a\n\nb\nc\n \nd\n"); got != "b; c; d" {
		t.Errorf("got %q", got)
	}
}
