//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/shelf/cluster"
)

// TestFullDisk gives a replica a small disk, and fills it. The replica
// stops with a word about it; the others go on, and it comes back when there is
// room.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts a small file system: run it as root")
	}
	s := bare.up(t)
	victim := s.follower(t)
	s.kill(t, victim)
	dir := s.ReplicaDir(victim)
	config := dir + "/shelf.json"
	var file map[string]any
	if err := jsonfile.Read(config, &file); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m,mode=0700"); err != nil {
		t.Fatalf("mount a small file system at %s: %v", dir, err)
	}
	mounted := true
	unmount := func() {
		if mounted {
			mounted = unix.Unmount(dir, unix.MNT_DETACH) != nil
		}
	}
	t.Cleanup(func() {
		s.atEnd("kill", victim)
		unmount()
	})
	writeJSON(t, config, file)
	s.do(t, "start", victim) // it has lost its state, and is let in again
	s.do(t, "wait", "shelf")
	fill(t, dir+"/ballast")
	eventually(t, patience, "the replica stops for its full disk", func() error {
		for i := range 20 {
			s.do(t, "raw", "shelf", "0x0a", "0x44", "0", "0", "0xe0", "0x4d", "0x50", "5", "5", "5", "5", "0", "0", "0", fmt.Sprint(i), "0", "0", "0")
		}
		log, err := os.ReadFile(s.StateDir + "/logs/" + victim + ".log")
		if err == nil && !strings.Contains(string(log), "no space left on device") {
			err = errors.New(lastLines(string(log), 3))
		}
		return err
	})
	s.do(t, "raw", "fore", "6", "1")
	s.do(t, "raw", "shelf", "6", "1")

	_ = midplane(t, "--shelf", s.Name, "kill", victim) // whether it runs just now or not
	unmount()
	if err := cluster.Wipe(dir); err != nil {
		t.Fatal(err)
	}
	s.do(t, "start", victim)
	s.healthy(t)
}

// fill writes a file until there is no room for more.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}
