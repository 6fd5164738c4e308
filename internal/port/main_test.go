package port

import (
	"io"
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"github.com/midplane-project/midplane/internal/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))

// cluster makes an authority and credentials for subjects.
func cluster(t *testing.T, id string, subjects ...string) (*trust.Authority, map[string]*trust.Credentials) {
	t.Helper()
	a, err := trust.NewAuthority(t.TempDir(), id)
	if err != nil {
		t.Fatal(err)
	}
	creds := make(map[string]*trust.Credentials)
	for _, s := range subjects {
		creds[s] = issue(t, a, s, trust.Options{})
	}
	return a, creds
}

func issue(t *testing.T, a *trust.Authority, subject string, opts trust.Options) *trust.Credentials {
	t.Helper()
	id, err := trust.ParseSubject(a.Cluster(), subject)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Issue(id, opts); err != nil {
		t.Fatal(err)
	}
	c, err := trust.LoadCredentials(a.Dir(), subject)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// listen opens a port on loopback.
func listen(t *testing.T, creds *trust.Credentials, opts ...Option) *Port {
	t.Helper()
	p, err := Listen("127.0.0.1:0", creds, append([]Option{quiet}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}
