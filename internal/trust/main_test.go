package trust

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newAuthority makes a cluster's authority in a directory of its own.
func newAuthority(t *testing.T, cluster string) *Authority {
	t.Helper()
	a, err := NewAuthority(t.TempDir(), cluster)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// issue makes and loads the credentials of a subject.
func issue(t *testing.T, a *Authority, subject string, opts Options) *Credentials {
	t.Helper()
	id, err := ParseSubject(a.Cluster(), subject)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Issue(id, opts); err != nil {
		t.Fatal(err)
	}
	c, err := LoadCredentials(a.Dir(), subject)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
