//go:build e2e

package rmcp

import (
	"context"
	"net"
	"os/exec"
	"sync/atomic"
	"testing"
)

// slowStore stores the first session only when the second is on its way to it, and
// the second when the first one's client has been told, or not.
type slowStore struct {
	*fakeStore
	t      *testing.T
	saves  atomic.Int32
	second chan struct{}
}

func (s *slowStore) Save(ctx context.Context, c Change) error {
	switch s.saves.Add(1) {
	case 1:
		<-s.second
	case 2:
		close(s.second)
		until(s.t, "the first is stored", func() bool { return running("rmcp.(*Door).stored.func1") == 1 })
	}
	return s.fakeStore.Save(ctx, c)
}

// ipmitool begins anew after a second, and gets in, though its first login is
// answered only then.
func TestE2ELoginStoredLate(t *testing.T) {
	s := newSite(t)
	store := &slowStore{fakeStore: newFakeStore(), t: t, second: make(chan struct{})}
	s.cfg.Store = store
	s.open()
	host, port, err := net.SplitHostPort(s.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ipmitool", "-I", "lanplus", "-H", host, "-p", port, "-U", "admin", "-P", "secret", "-C", "17", "raw", "6", "1").CombinedOutput()
	if n := store.saves.Load(); err != nil || n < 2 {
		t.Errorf("%d logins were stored; %v\n%s", n, err, out)
	}
}
