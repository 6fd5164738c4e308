package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/deploy/lab/topology"
	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/ipmb"
)

func TestHome(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  map[string]string
		want Home
	}{
		{"nothing", nil, Home{"/var/tmp/midplane-7", "/tmp/midplane-7", "/var/tmp/midplane-7/.cache"}},
		{"home", map[string]string{"HOME": "/h"}, Home{"/h/.local/state/midplane", "/tmp/midplane-7", "/h/.cache/midplane"}},
		{
			"xdg",
			map[string]string{"HOME": "/h", "XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/r", "XDG_CACHE_HOME": "/c"},
			Home{"/s/midplane", "/r/midplane", "/c/midplane"},
		},
		{"own", map[string]string{"HOME": "/h", "MIDPLANE_HOME": "/m"}, Home{"/m", "/tmp/midplane-7", "/h/.cache/midplane"}},
		{"relative xdg is none", map[string]string{"HOME": "/h", "XDG_STATE_HOME": "s"}, Home{"/h/.local/state/midplane", "/tmp/midplane-7", "/h/.cache/midplane"}},
	} {
		if got := homeFrom(func(k string) string { return tt.env[k] }, 7); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestADirectoryOfSomebodyElseIsRefused(t *testing.T) {
	dir := t.TempDir()
	open, file, mine := filepath.Join(dir, "open"), filepath.Join(dir, "file"), filepath.Join(dir, "mine")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := privateDir(mine, os.Getuid()); err != nil {
		t.Error(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(mine, link); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"of another": privateDir(mine, os.Getuid()+1), "open": privateDir(open, os.Getuid()), "a link": privateDir(link, os.Getuid()),
	} {
		if problemCode(err) != problem.Refused {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := privateDir(file, os.Getuid()); err == nil {
		t.Error("a file is no directory")
	}
}

func TestFind(t *testing.T) {
	b := newBench(t, twoNodes)
	if _, err := Find(""); problemCode(err) != problem.NotFound {
		t.Errorf("none: %v", err)
	}
	h, err := OpenHome()
	if err != nil {
		t.Fatal(err)
	}
	made := func(name string) {
		l := h.at(name)
		l.Topology = topology.BuiltIn()
		l.Topology.Name = name
		if err := os.MkdirAll(l.StateDir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := l.writeTopology(); err != nil {
			t.Fatal(err)
		}
		if err := jsonfile.Write(l.choicesPath(), l.Choices); err != nil {
			t.Fatal(err)
		}
	}
	found := func(what, flag, want string) {
		t.Helper()
		if l, err := Find(flag); err != nil || l.Name != want {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
	}
	made("one")
	found("the only one", "", "one")
	made("two")
	if _, err := Find(""); problemCode(err) != problem.Usage || !strings.Contains(err.Error(), "one, two") {
		t.Errorf("several: %v", err)
	}
	found("flag", "two", "two")
	t.Setenv(EnvShelf, "one")
	found("environment", "", "one")
	found("flag before environment", "two", "two")
	t.Setenv(EnvShelf, "")
	made("rack")
	found("the one of shelf.yaml here", "", "rack")
	if _, err := Find("three"); problemCode(err) != problem.NotFound {
		t.Errorf("missing: %v", err)
	}
	if err := os.WriteFile(filepath.Join(h.State, "two", topology.FileName), []byte("name: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Find("two"); problemCode(err) != problem.Failed {
		t.Errorf("broken: %v", err)
	}
	all, err := h.List()
	if err != nil || len(all) != 3 || all[2].State != "broken" || all[2].Problem == "" || all[0].State != "down" {
		t.Errorf("%+v, %v", all, err)
	}
	_ = b
}

func TestTargets(t *testing.T) {
	text := strings.Replace(twoNodes, "EXE", "/bin/true", -1)
	s, err := topology.Parse("shelf.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	l := &Lab{Name: "rack", Topology: s}
	for _, tt := range []struct {
		in   string
		want Target
		node string
	}{
		{"shelf", Target{Shelf: true, Addr: 0x20, Name: "shelf"}, ""},
		{"0x20", Target{Shelf: true, Addr: 0x20, Name: "shelf"}, ""},
		{"a", Target{Addr: 0x82, Slot: 1, Name: "a"}, "a"},
		{"2", Target{Addr: 0x84, Slot: 2, Name: "b"}, "b"},
		{"0x84", Target{Addr: 0x84, Slot: 2, Name: "b"}, "b"},
		{"84h", Target{Addr: 0x84, Slot: 2, Name: "b"}, "b"},
		{"3", Target{Addr: 0x86, Slot: 3, Name: "0x86"}, ""},
		{"0x10", Target{Addr: 0x10, Name: "0x10"}, ""},
	} {
		got, err := l.ResolveTarget(tt.in)
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		name := ""
		if got.Node != nil {
			name, got.Node = got.Node.Name, nil
		}
		if got != tt.want || name != tt.node {
			t.Errorf("%s: %+v, node %q", tt.in, got, name)
		}
	}
	for in, want := range map[string]problem.Code{
		"c": problem.NotFound, "0": problem.Usage, "64": problem.Usage, "-1": problem.Usage, "0x85": problem.Usage, "0x1ff": problem.Usage, "": problem.NotFound,
	} {
		if _, err := l.ResolveTarget(in); problemCode(err) != want {
			t.Errorf("%q: %v, want code %d", in, err, want)
		}
	}
	for in, want := range map[string]problem.Code{"a": problem.OK, "shelf": problem.NotFound, "3": problem.NotFound} {
		if _, err := l.ResolveNode(in); problemCode(err) != want {
			t.Errorf("node %q: %v, want code %d", in, err, want)
		}
	}
}

func FuzzResolveTarget(f *testing.F) {
	l := &Lab{Name: "demo", Topology: topology.BuiltIn()}
	for _, s := range []string{"1", "0x84", "blade1", "shelf", "20h", "-0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := l.ResolveTarget(s)
		if err == nil && (!got.Addr.Valid() || got.Slot != 0 && got.Addr != ipmb.SlotAddr(got.Slot)) {
			t.Errorf("%q: %+v", s, got)
		}
	})
}
