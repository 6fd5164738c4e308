package trust

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each damage to the files is named with its file, and nothing is half loaded.
func TestDamagedFiles(t *testing.T) {
	a, other := newAuthority(t, "c1"), newAuthority(t, "c1")
	issue(t, a, "replica/shm1", Options{})
	issue(t, a, "replica/shm2", Options{})
	issue(t, other, "replica/shm1", Options{})
	good, err := FilesIn(a.Dir(), "replica/shm1")
	if err != nil {
		t.Fatal(err)
	}
	foreign, _ := FilesIn(other.Dir(), "replica/shm1")
	sibling, _ := FilesIn(a.Dir(), "replica/shm2")
	junk := filepath.Join(t.TempDir(), "junk")
	if err := os.WriteFile(junk, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(*Files)
		blame  string
	}{
		"no CA":           {func(f *Files) { f.CA = "/nonexistent" }, "/nonexistent"},
		"junk CA":         {func(f *Files) { f.CA = junk }, junk},
		"CA of another":   {func(f *Files) { f.CA = foreign.CA }, foreign.CA},
		"leaf as CA":      {func(f *Files) { f.CA = good.Cert }, good.Cert},
		"CA as leaf":      {func(f *Files) { f.Cert = good.CA }, good.CA},
		"no certificate":  {func(f *Files) { f.Cert = "/nonexistent" }, "/nonexistent"},
		"junk leaf":       {func(f *Files) { f.Cert = junk }, junk},
		"key of another":  {func(f *Files) { f.Key = sibling.Key }, sibling.Key},
		"junk key":        {func(f *Files) { f.Key = junk }, junk},
		"foreign pair":    {func(f *Files) { f.Cert, f.Key = foreign.Cert, foreign.Key }, foreign.Cert},
		"no revocations":  {func(f *Files) { f.Revoked = "/nonexistent" }, "/nonexistent"},
		"junk revocation": {func(f *Files) { f.Revoked = junk }, junk},
	} {
		files := good
		tc.change(&files)
		if c, err := LoadFiles(files); err == nil || c != nil || !strings.Contains(err.Error(), tc.blame) {
			t.Errorf("%s: %v, %v; want an error with %s", name, c, err, tc.blame)
		}
	}
	files := good
	files.Cert, files.Key = foreign.Cert, foreign.Key
	if _, err := LoadFiles(files); !errors.Is(err, ErrWrongCluster) {
		t.Errorf("foreign pair: %v, want ErrWrongCluster", err)
	}
	if _, err := LoadCredentials(a.Dir(), "nobody"); err == nil {
		t.Error("credentials of a subject without a role")
	}
}

func TestDamagedAuthority(t *testing.T) {
	other := newAuthority(t, "c1")
	for file, data := range map[string]string{
		caFile:      "junk",
		caKeyFile:   "junk",
		issuedFile:  "{",
		revokedFile: "[3]",
	} {
		a := newAuthority(t, "c1")
		if err := os.WriteFile(filepath.Join(a.Dir(), file), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		opened, err := OpenAuthority(a.Dir())
		if err == nil {
			_, err = opened.Issue(Identity{Role: Admin, Name: "x"}, Options{})
		}
		if err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("junk in %s: %v", file, err)
		}
	}
	a := newAuthority(t, "c1")
	key, err := os.ReadFile(filepath.Join(other.Dir(), caKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(filepath.Join(a.Dir(), caKeyFile), key, secretMode); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(a.Dir()); err == nil || !strings.Contains(err.Error(), "is not the key") {
		t.Errorf("the key of another authority: %v", err)
	}
}
