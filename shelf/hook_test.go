package shelf

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb/rmcp"
)

// TestHook sees a program called in order, and never for what is over already.
func TestHook(t *testing.T) {
	dir := t.TempDir()
	calls, wait := filepath.Join(dir, "calls"), filepath.Join(dir, "wait")
	program := filepath.Join(dir, "hook")
	script := fmt.Sprintf("#!/bin/sh\necho $1 $MIDPLANE_SHELF $MIDPLANE_REPLICA >>%s\nwhile [ $1 = gain -a -e %s ]; do sleep 0.01; done\n", calls, wait)
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	called := func(want string) {
		t.Helper()
		var have string
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			b, _ := os.ReadFile(calls)
			if have = strings.Join(strings.Fields(strings.ReplaceAll(string(b), " lab shm1\n", " ")), " "); have == want {
				return
			}
		}
		t.Fatalf("called %q, want %q", have, want)
	}
	h := newHook(program, "lab", "shm1", slog.New(slog.DiscardHandler))
	called("lose") // for the process before this one
	if err := os.WriteFile(wait, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.want(true)
	called("lose gain")
	for range 5 { // while the program runs: only the last counts
		h.want(false)
		h.want(true)
	}
	h.want(false)
	if err := os.Remove(wait); err != nil {
		t.Fatal(err)
	}
	called("lose gain lose")
	h.want(true)
	called("lose gain lose gain")
	h.close()
	called("lose gain lose gain lose")
}

func TestLANDoorCheck(t *testing.T) {
	good := LANDoor{Listen: "unix:/x", Key: "k", Password: "p", Settings: rmcp.Settings{Suites: []int{17, 1}, Unsafe: true, V15: []string{"md5", "password"}}}
	if err := good.check("lab"); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(*LANDoor){
		"listen":   func(d *LANDoor) { d.Listen = "localhost:623" },
		"key":      func(d *LANDoor) { d.Key = "" },
		"password": func(d *LANDoor) { d.Password = "" },
		"address":  func(d *LANDoor) { d.Address = "shelf" },
		"style":    func(d *LANDoor) { d.Style = "loud" },
		"suites":   func(d *LANDoor) { d.Unsafe = false },
		"v15":      func(d *LANDoor) { d.V15 = []string{"md2"} },
	} {
		d := good
		change(&d)
		if err := d.check("lab"); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestReadSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	for mode, fine := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false} {
		if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := readSecret(path); (err == nil) != fine {
			t.Errorf("mode %v: %v", mode, err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
