package power

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestProbe(t *testing.T) {
	const ms = time.Millisecond
	broken := errors.New("no vmx")
	for _, tt := range []struct {
		name, device string
		kvm, tcg     any // a time or an error
		want, reason string
	}{
		{"KVM works", os.DevNull, 300 * ms, broken, KVM, "in 300ms"},
		{"KVM fails", os.DevNull, broken, 100 * ms, TCG, "no vmx"},
		{"KVM crawls", os.DevNull, 3300 * ms, 150 * ms, TCG, "KVM took 3.3s"},
		{"both crawl", os.DevNull, 1500 * ms, 4000 * ms, KVM, "TCG in 4s"},
		{"no device", "/none/kvm", 300 * ms, 300 * ms, TCG, "/none/kvm"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := probe(tt.device, func(accel string) (time.Duration, error) {
				result := tt.tcg
				if accel == KVM {
					result = tt.kvm
				}
				err, _ := result.(error)
				took, _ := result.(time.Duration)
				return took, err
			})
			if err != nil || c.Accel != tt.want || !strings.Contains(c.Reason, tt.reason) {
				t.Errorf("%+v, %v", c, err)
			}
		})
	}
	if _, err := probe(os.DevNull, func(a string) (time.Duration, error) {
		return map[string]time.Duration{KVM: 2 * time.Second}[a], map[string]error{TCG: broken}[a]
	}); !errors.Is(err, broken) {
		t.Errorf("QEMU that boots nothing: %v", err)
	}
}

func TestBootTime(t *testing.T) {
	path := filepath.Join(shortDir(t), "qemu")
	text := "#!/bin/sh\nif [ $2 = kvm ]; then echo 'no vmx' >&2; exit 1; fi\necho SeaBIOS; echo No bootable device.; exec sleep 60\n"
	check(t, os.WriteFile(path, []byte(text), 0o700))
	if took, err := bootTime(t.Context(), path, TCG); err != nil || took <= 0 {
		t.Errorf("boots: %v, %v", took, err)
	}
	if _, err := bootTime(t.Context(), path, KVM); err == nil || err.Error() != "no vmx" {
		t.Errorf("breaks: %v", err)
	}
}

func TestProbeIsRemembered(t *testing.T) {
	dir := shortDir(t)
	key, err := probeKey(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	path, want := filepath.Join(dir, "new", "accel.json"), Choice{TCG, "because"}
	check(t, saveChoice(path, key, want))
	if c, ok := loadChoice(path, key); !ok || c != want {
		t.Errorf("loaded %+v, %v", c, ok)
	}
	if _, ok := loadChoice(path, key+"x"); ok {
		t.Error("a choice of another boot or QEMU was taken")
	}
	check(t, os.WriteFile(path, []byte("{"), 0o600))
	if _, ok := loadChoice(path, key); ok {
		t.Error("a broken file was taken")
	}
}
