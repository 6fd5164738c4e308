package guest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func saved(t *testing.T, c cache) Image {
	t.Helper()
	scratch, err := os.MkdirTemp(c.dir, "build-")
	if err != nil {
		t.Fatal(err)
	}
	kernel := writeFile(t, []byte("kernel"), scratch, "bzImage")
	files := tree{}
	files.file("init", 0o755, []byte("init"))
	image, err := c.save(scratch, Image{Version: c.version([]string{"a=1"}), Modules: []string{"m"}}, kernel, files)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestCacheRemembers(t *testing.T) {
	c := cache{dir: t.TempDir(), inputs: "inputs"}
	image := saved(t, c)
	if err := c.point(image, "stamp"); err != nil {
		t.Fatal(err)
	}
	for stamp, want := range map[string]bool{"stamp": true, "": true, "newer lists": false} {
		got, ok := c.current(stamp)
		if ok != want {
			t.Errorf("stamp %q: found %v, want %v", stamp, ok, want)
		}
		if ok && (got.Kernel != image.Kernel || got.InitrdSize == 0 || !slices.Equal(got.Modules, image.Modules)) {
			t.Errorf("stamp %q: %+v, want %+v", stamp, got, image)
		}
	}
	if _, ok := (cache{dir: c.dir, inputs: "other"}).current("stamp"); ok {
		t.Error("other inputs got this image")
	}
}

func TestCacheRefusesDamage(t *testing.T) {
	for _, name := range []string{"kernel", "initrd", "image.json"} {
		c := cache{dir: t.TempDir(), inputs: "inputs"}
		image := saved(t, c)
		if err := os.Truncate(filepath.Join(c.dir, image.Version, name), 3); err != nil {
			t.Fatal(err)
		}
		if _, ok := c.load(image.Version); ok {
			t.Errorf("an image with a short %s was taken", name)
		}
		if again := saved(t, c); again.Version != image.Version {
			t.Errorf("rebuilt as %s", again.Version)
		}
	}
}

func TestVersionKey(t *testing.T) {
	c := cache{inputs: "inputs"}
	one, two := c.version([]string{"a=1", "b=1"}), c.version([]string{"a=1", "b=2"})
	if one == two || one != c.version([]string{"a=1", "b=1"}) || len(one) != 16 {
		t.Errorf("%s and %s", one, two)
	}
}

func TestFingerprint(t *testing.T) {
	dir := t.TempDir()
	kernel := writeFile(t, []byte("kernel"), dir, "bzImage")
	seen := map[string]bool{}
	for _, tt := range []struct {
		opts Options
		tool string
	}{{Options{}, "tool"}, {Options{}, "other tool"}, {Options{Kernel: kernel}, "tool"}, {Options{Kernel: kernel, ModulesDir: dir}, "tool"}} {
		key, err := fingerprint(tt.opts, []byte(tt.tool))
		if err != nil || seen[key] {
			t.Errorf("%+v: %s, %v", tt, key, err)
		}
		seen[key] = true
	}
	if _, err := fingerprint(Options{Kernel: dir + "/none"}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a kernel that is not there: %v", err)
	}
}

func TestLockWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := lock(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second lock: %v", err)
	}
	unlock()
	again, err := lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestBuildRefuses(t *testing.T) {
	for want, opts := range map[string]Options{
		"no cache folder":          {},
		"without its kernel":       {CacheDir: t.TempDir(), ModulesDir: t.TempDir()},
		"guest image: stat /none:": {CacheDir: t.TempDir(), Kernel: "/none"},
	} {
		if _, err := Build(t.Context(), opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", opts, err, want)
		}
	}
}

// TestBuildKeepsOldImage: the package lists have changed since, and apt fails.
func TestBuildKeepsOldImage(t *testing.T) {
	opts := Options{CacheDir: t.TempDir()}
	opts, err := opts.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	tool, err := guestTool(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	inputs, err := fingerprint(opts, tool)
	if err != nil {
		t.Fatal(err)
	}
	c := cache{dir: opts.CacheDir, inputs: inputs}
	old := saved(t, c)
	if err := c.point(old, "older lists"); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	writeFile(t, []byte("#!/bin/sh\necho 'E: no network' >&2\nexit 100\n"), bin, "apt-cache")
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))

	got, err := Build(t.Context(), opts)
	if err != nil || got.Version != old.Version {
		t.Errorf("%+v, %v", got, err)
	}
}
