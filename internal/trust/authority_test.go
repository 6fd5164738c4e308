package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAuthorityIsCreatedOnceAndOpened(t *testing.T) {
	a := newAuthority(t, "c1")
	if _, err := NewAuthority(a.Dir(), "c2"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second NewAuthority: %v, want fs.ErrExist", err)
	}
	again, err := OpenAuthority(a.Dir())
	if err != nil || again.Cluster() != "c1" || !again.NotAfter().Equal(a.NotAfter()) {
		t.Errorf("OpenAuthority: %+v, %v", again, err)
	}
	if _, err := OpenAuthority(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenAuthority of nothing: %v, want fs.ErrNotExist", err)
	}
	if _, err := NewAuthority(t.TempDir(), "no.dots"); err == nil {
		t.Error("a cluster ID with a dot was accepted")
	}
}

func TestConcurrentNewAuthorityHasOneWinner(t *testing.T) {
	dir := t.TempDir()
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = NewAuthority(dir, "c1") })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, fs.ErrExist) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d created the authority", won, len(errs))
	}
}

func TestFileModes(t *testing.T) {
	a := newAuthority(t, "c1")
	issue(t, a, "node/lab/2", Options{})
	for name, want := range map[string]fs.FileMode{
		"ca.pem": 0o644, "ca-key.pem": 0o600, "node-lab-2.pem": 0o600, "node-lab-2.key": 0o600, "revoked.json": 0o644,
	} {
		info, err := os.Stat(filepath.Join(a.Dir(), name))
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != want {
			t.Errorf("%s has mode %#o, want %#o", name, info.Mode().Perm(), want)
		}
	}
}

func TestOpenKeysAreRefused(t *testing.T) {
	a := newAuthority(t, "c1")
	issue(t, a, "replica/shm1", Options{})
	chmod(t, filepath.Join(a.Dir(), "replica-shm1.key"), 0o644)
	if _, err := LoadCredentials(a.Dir(), "replica/shm1"); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("world-readable key: %v", err)
	}
	chmod(t, filepath.Join(a.Dir(), "ca-key.pem"), 0o640)
	if _, err := OpenAuthority(a.Dir()); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("group-readable CA key: %v", err)
	}
}

func chmod(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestIssueRenewRevoke(t *testing.T) {
	a := newAuthority(t, "c1")
	id := Identity{Role: Replica, Name: "shm1"}
	first, err := a.Issue(id, Options{TTL: time.Hour, DNS: []string{"localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Issue(id, Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("issued twice: %v, want fs.ErrExist", err)
	}
	second, err := a.Renew(id, 0)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := parseCert(second.CertPEM())
	if err != nil || len(cert.DNSNames) != 1 || cert.NotAfter.Sub(cert.NotBefore).Round(time.Minute) != time.Hour+backdate {
		t.Errorf("renewal did not keep names and duration: %+v, %v", cert, err)
	}
	revoked, err := a.Revoke("replica/shm1")
	if err != nil || len(revoked) != 2 {
		t.Fatalf("Revoke = %v, %v; want both serials", revoked, err)
	}
	if revoked[0].Serial != first.Serial || revoked[1].Serial != second.Serial {
		t.Errorf("revoked %v", revoked)
	}
	if again, err := a.Revoke("replica/shm1"); err != nil || len(again) != 0 {
		t.Errorf("second Revoke = %v, %v", again, err)
	}
	if _, err := a.Renew(id, 0); !errors.Is(err, ErrRevoked) {
		t.Errorf("Renew of a revoked one: %v", err)
	}
	if _, err := a.Issue(id, Options{}); err != nil {
		t.Errorf("Issue after Revoke: %v", err)
	}
}

func TestIssueRefuses(t *testing.T) {
	a := newAuthority(t, "c1")
	if _, err := a.Issue(Identity{Role: Admin, Cluster: "c2", Name: "x"}, Options{}); !errors.Is(err, ErrWrongCluster) {
		t.Errorf("foreign cluster: %v", err)
	}
	if _, err := a.Issue(Identity{Role: Admin, Name: "../x"}, Options{}); err == nil {
		t.Error("a name with a path was accepted")
	}
	if _, err := a.Issue(Identity{Role: Admin, Name: "x"}, Options{TTL: -1}); err == nil {
		t.Error("a negative time to live was accepted")
	}
	if _, err := a.Renew(Identity{Role: Admin, Name: "x"}, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("renewal of nothing: %v", err)
	}
	c, err := a.Issue(Identity{Role: Admin, Name: "x"}, Options{TTL: 2 * caTTL})
	if err != nil {
		t.Fatal(err)
	}
	if cert, _ := parseCert(c.CertPEM()); cert.NotAfter.After(a.NotAfter()) {
		t.Error("a certificate outlives its authority")
	}
}

func TestRevokeBySerial(t *testing.T) {
	a := newAuthority(t, "c1")
	c := issue(t, a, "admin/ann", Options{})
	serial := serialString(c.certificate().Leaf.SerialNumber)
	for _, what := range []string{"admin/bob", "nonsense", ""} {
		if _, err := a.Revoke(what); err == nil {
			t.Errorf("Revoke(%q) succeeded", what)
		}
	}
	if got, err := a.Revoke("0x" + strings.ToUpper(serial)); err != nil || len(got) != 1 || got[0].Subject != "admin/ann" {
		t.Errorf("Revoke(%q) = %v, %v", serial, got, err)
	}
	if _, err := a.Revoke("DE:AD"); err != nil {
		t.Errorf("a serial that the books do not have: %v", err)
	}
	if !c.isRevoked(serial) || !c.isRevoked("dead") || c.isRevoked("beef") {
		t.Error("the list on disk is not what Revoke was told")
	}
}

func TestExpiresWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t, "c1")
		short := issue(t, a, "node/lab/1", Options{TTL: 2 * time.Hour})
		issue(t, a, "node/lab/2", Options{TTL: 48 * time.Hour})
		issue(t, a, "node/lab/3", Options{TTL: time.Hour})
		if _, err := a.Revoke("node/lab/3"); err != nil {
			t.Fatal(err)
		}
		subjects := func(d time.Duration) string {
			due, err := a.ExpiresWithin(d)
			if err != nil {
				t.Fatal(err)
			}
			var s []string
			for _, c := range due {
				s = append(s, c.Subject)
			}
			return fmt.Sprint(s)
		}
		for d, want := range map[time.Duration]string{
			time.Hour: "[]", 3 * time.Hour: "[node/lab/1]", 72 * time.Hour: "[node/lab/1 node/lab/2]",
		} {
			if got := subjects(d); got != want {
				t.Errorf("ExpiresWithin(%s) = %s, want %s", d, got, want)
			}
		}
		time.Sleep(3 * time.Hour)
		if got := subjects(0); got != "[node/lab/1]" || !short.ExpiresWithin(0) {
			t.Errorf("expired: %s", got)
		}
		if _, err := a.Renew(short.Identity(), 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		if got := subjects(0); got != "[]" || short.ExpiresWithin(time.Hour) {
			t.Errorf("renewed, and still due: %s", got)
		}
		if all, _ := a.List(); len(all) != 3 {
			t.Errorf("the superseded and expired certificate is still listed: %v", all)
		}
	})
}

func TestKeysAreNotPrinted(t *testing.T) {
	a := newAuthority(t, "c1")
	p, err := a.Issue(Identity{Role: Admin, Name: "ann"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	creds, err := LoadCredentials(a.Dir(), "admin/ann")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	text, js := slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range []any{p, &p, []Pair{p}, a, creds} {
		text.Info("x", "v", v)
		js.Info("x", "v", v)
		fmt.Fprintf(&out, "%v %+v %#v %s %q %x\n", v, v, v, v, v, v)
	}
	line := strings.Split(string(p.KeyPEM()), "\n")[1]
	for _, secret := range []string{"PRIVATE", line, fmt.Sprintf("%x", line), fmt.Sprint([]byte(line[:9]))[1:20]} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q was printed", secret)
		}
	}
}
