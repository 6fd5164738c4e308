//go:build e2e

package power

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// What SeaBIOS says in the beginning, and of each device that it tries in order.
var (
	banner      = []byte("SeaBIOS (version")
	bootingFrom = regexp.MustCompile(`Booting from ([A-Za-z/ ]+)\.\.\.`)
)

// bootable describes a VM with an empty disk and a network card, and begins to
// record its console.
func bootable(t *testing.T) (MachineConfig, string) {
	t.Helper()
	cfg := realVM(t, KCS)
	base := filepath.Join(cfg.Dir, "empty.raw")
	check(t, os.WriteFile(base, make([]byte, 1<<20), 0o600))
	cfg.Spec.Disk = Disk{Base: base, Format: "raw"}
	cfg.Spec.NICs = []NIC{{Backend: "user,restrict=on", Model: "e1000"}}
	return cfg, filepath.Join(cfg.Dir, "console.log")
}

// firstTried waits until the log, from its byte at on, has a boot that names
// the first device that the firmware tries.
func firstTried(t *testing.T, log string, at int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		text, err := os.ReadFile(log)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		text = text[min(at, len(text)):]
		if i := bytes.LastIndex(text, banner); i >= 0 {
			if m := bootingFrom.FindSubmatch(text[i:]); m != nil {
				return string(m[1])
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the firmware tried nothing: %q", text)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// The boot order decides what the firmware really tries first: by boot_set at
// the next reset, by -boot in a new process, and "once" for its first boot only.
func TestRealBootDevices(t *testing.T) {
	cfg, log := bootable(t)
	m := machine(t, cfg)
	const disk, network = "Hard Disk", "ROM"
	at := 0
	tries := func(what, want string) {
		t.Helper()
		if got := firstTried(t, log, at); got != want {
			t.Errorf("%s: the firmware tried %q, want %q", what, got, want)
		}
		info, err := os.Stat(log)
		check(t, err)
		at = int(info.Size())
	}
	start := func() *Console {
		t.Helper()
		check(t, m.Start(t.Context()))
		c := openConsole(t, ConsoleConfig{Socket: cfg.Spec.ConsoleSocket, Log: log})
		check(t, c.Ready(t.Context()))
		check(t, m.Cont(t.Context()))
		return c
	}
	c := start()
	tries("as ever", disk)
	check(t, m.Reorder(t.Context(), "n"))
	check(t, m.Reset(t.Context()))
	tries("boot_set n", network)
	check(t, m.Reorder(t.Context(), ""))
	check(t, m.Reset(t.Context()))
	tries("boot_set as ever", disk)

	check(t, m.Kill(t.Context()))
	check(t, c.Close())
	m.BootNext(Boot{Order: "n", Once: true})
	start()
	tries("-boot once=n", network)
	check(t, m.Reset(t.Context()))
	tries("after once", disk)
}
