package guest

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const testLoader = "/lib64/ld-linux-x86-64.so.2"

func TestResolveLibraries(t *testing.T) {
	root, host := t.TempDir(), t.TempDir()
	program := writeFile(t, fakeProgram(testLoader, "liba.so.1", "libc.so.6"), root, "usr/bin/prog")
	script := writeFile(t, []byte("#!/bin/sh\n"), root, "usr/bin/script")
	writeFile(t, fakeProgram("", "libb.so.2", "libc.so.6"), root, "usr/lib/x86_64-linux-gnu/liba.so.1.0.3")
	if err := os.Symlink("liba.so.1.0.3", filepath.Join(root, "usr/lib/x86_64-linux-gnu/liba.so.1")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, fakeProgram(""), root, "lib/x86_64-linux-gnu/libc.so.6")
	writeFile(t, fakeProgram(""), root, "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
	writeFile(t, fakeProgram(""), root, "usr/lib64/libgcc_s.so.1")
	writeFile(t, fakeProgram("", "libc.so.6"), host, "usr/lib/libb.so.2")
	writeFile(t, fakeProgram(""), host, "usr/lib/libc.so.6")

	_, missing, err := resolveLibraries([]string{program, script}, root)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"libb.so.2": "liba.so.1.0.3"}; !maps.Equal(missing, want) {
		t.Errorf("missing %v, want %v", missing, want)
	}

	libs, missing, err := resolveLibraries([]string{program, script}, root, host)
	if err != nil || len(missing) > 0 {
		t.Fatalf("missing %v, error %v", missing, err)
	}
	want := libraries{
		"usr/lib64/ld-linux-x86-64.so.2":         root + "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
		"usr/lib/x86_64-linux-gnu/liba.so.1":     root + "/usr/lib/x86_64-linux-gnu/liba.so.1.0.3",
		"usr/lib/x86_64-linux-gnu/libb.so.2":     host + "/usr/lib/libb.so.2",
		"usr/lib/x86_64-linux-gnu/libc.so.6":     root + "/lib/x86_64-linux-gnu/libc.so.6",
		"usr/lib/x86_64-linux-gnu/libgcc_s.so.1": root + "/usr/lib64/libgcc_s.so.1",
	}
	if !maps.Equal(libs, want) {
		t.Errorf("got %v\nwant %v", libs, want)
	}
}

func TestElfProgramsNamesWhatIsMissing(t *testing.T) {
	_, err := elfPrograms(t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "usr/bin/ipmitool") {
		t.Errorf("got %v", err)
	}
}

func TestUsrPath(t *testing.T) {
	for from, want := range map[string]string{
		"/bin/sh": "usr/bin/sh", "sbin/init": "usr/sbin/init", "/lib64/ld.so": "usr/lib64/ld.so",
		"/usr/bin/env": "usr/bin/env", "linuxrc": "linuxrc", "/library/x": "library/x",
	} {
		if got := usrPath(from); got != want {
			t.Errorf("%s: %s, want %s", from, got, want)
		}
	}
}

func TestNamedAfter(t *testing.T) {
	r := repo{debs: map[string]deb{}, present: map[string]bool{"libc6": true}}
	for _, name := range []string{"libc6", "libgcc-s1", "libglib2.0-0", "libpcre2-8-0", "libopenipmi0", "libudev1t64", "libperl5.36", "ipmitool"} {
		r.debs[name] = deb{name: name}
	}
	got := r.namedAfter(map[string]string{
		"libc.so.6": "", "libgcc_s.so.1": "", "libglib-2.0.so.0": "", "libpcre2-8.so.0": "",
		"libOpenIPMI.so.0": "", "libudev.so.1": "", "libcrypto.so.3": "",
	})
	want := []string{"libgcc-s1", "libglib2.0-0", "libopenipmi0", "libpcre2-8-0", "libudev1t64"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestNextLevel(t *testing.T) {
	r := repo{
		deps:    graph{"ipmitool": {"libssl3", "libc6", "perl"}, "libssl3": {"libz"}},
		debs:    map[string]deb{"ipmitool": {}, "libssl3": {}, "libc6": {}, "libz": {}},
		present: map[string]bool{"ipmitool": true, "libc6": true},
	}
	if got := r.nextLevel(); !slices.Equal(got, []string{"libssl3"}) {
		t.Errorf("got %v", got)
	}
}
