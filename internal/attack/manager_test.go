package attack

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/midplane-project/midplane/internal/inmem"
	"github.com/midplane-project/midplane/internal/logtest"
	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf"
	"github.com/midplane-project/midplane/shelf/cluster/clustertest"
	"github.com/midplane-project/midplane/shelf/front"
)

// everyDoor runs an attack at a node's own door, and at the shelf manager's
// with its front before it.
func everyDoor(t *testing.T, attack func(t *testing.T, d door)) {
	t.Run("node", func(t *testing.T) {
		b := lone(t)
		attack(t, b.door)
		b.untouched(t)
	})
	t.Run("shelf", func(t *testing.T) { attack(t, managerDoor(t)) })
}

// managerDoor starts a shelf manager and its front.
func managerDoor(t *testing.T) door {
	t.Helper()
	d := door{name: "shelf", addr: freePort(t), user: "admin", password: "Sesame0123456789"}
	_, entry := startManager(t, shortDir(t), d.password)
	runFront(t, front.Config{Listen: d.addr, Replicas: []string{"unix:" + entry}})
	awaitManager(t, d)
	return d
}

// startManager starts a shelf manager in a folder, where one may have been before.
// entry is its socket for a front.
func startManager(t *testing.T, dir, password string) (stop func(), entry string) {
	t.Helper()
	bus, log := inmem.NewNetwork(), new(logtest.Book)
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	entry = filepath.Join(dir, "lan")
	t.Cleanup(bus.Wait)
	s, err := shelf.Open(shelf.Config{
		Name: replica, Dir: filepath.Join(dir, replica), Listen: replica, Expect: 1, Timing: "lab", PKI: "unused", Cluster: clusterID,
		Shelves: []shelf.Declared{{Name: shelfName, LAN: &shelf.LANDoor{
			Listen: "unix:" + entry, Key: file("key", bytes.Repeat([]byte{7}, 32)), Password: file("password", []byte(password+"\n")),
		}}},
	}, shelf.Options{Log: log.Logger(slog.LevelDebug), Memory: &shelf.Memory{
		Raft: clustertest.NewNetwork().Transport(replica), Bus: bus.Dialer(replica),
		Serve: func(s v1.BackplaneServer) func() { return bus.Serve(replica, s) },
	}})
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", replica, log)
		}
	})
	t.Cleanup(stop)
	return stop, entry
}

func runFront(t *testing.T, cfg front.Config) (stop func()) {
	t.Helper()
	f, err := front.Open(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// awaitManager waits until somebody leads and lets the administrator in.
func awaitManager(t *testing.T, d door) {
	t.Helper()
	c := d.console(t)
	for deadline := time.Now().Add(time.Minute); ; {
		c.send(plus(payloadOpen, 0, 0, c.openRequest()))
		if b := c.read(100 * time.Millisecond); len(b) > 17 && b[17] == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the shelf manager's door does not open")
		}
	}
	for deadline := time.Now().Add(time.Minute); ; {
		if c = d.stranger(t); c.logIn() == 0 {
			c.do(ipmb.NetFnApp, 0x3C, word(c.id)...)
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the shelf's administrator is not let in")
		}
	}
}
