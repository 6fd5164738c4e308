//go:build e2e

package cluster_test

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/midplane-project/midplane/shelf/cluster"
)

// TestFullFilesystem fills a real file system of 1 MiB; mounting it needs root.
// Until it is full every command is acknowledged; then the replica stops.
func TestFullFilesystem(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatalf("mount a tmpfs (this test needs root): %v", err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	l := newLab(t)
	l.dirs["shm1"] = dir
	defer l.stopAll()
	r := l.start("shm1", func(cfg *cluster.Config) { cfg.Expect, cfg.Seeds, cfg.Seeder = 1, nil, nil })
	l.apply("first")
	var err error
	for err == nil {
		_, _, err = r.Apply(context.Background(), make([]byte, 10_000))
	}
	var failed *cluster.StorageError
	if err := <-r.Failed(); !errors.As(err, &failed) || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a full file system: %v", err)
	}
	t.Log(err)
}
