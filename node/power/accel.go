package power

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	probeLimit = 15 * time.Second // for one firmware boot
	fastBoot   = time.Second      // a KVM that boots the firmware in this time needs no comparison
	bootedMark = "No bootable device"
)

// A Choice is an accelerator and why.
type Choice struct {
	Accel  string `json:"accel"` // KVM or TCG
	Reason string `json:"reason"`
}

// Probe chooses the accelerator for Accel "auto" by booting firmware without a guest.
//
// /dev/kvm alone says little: on hosts without hardware virtualisation it may hang a guest, or run it
// many times slower than TCG does. So KVM is chosen when it boots the firmware within a second, or at
// least faster than TCG. The choice is kept in cacheDir until the host boots anew or QEMU changes;
// "" keeps nothing. The error is only that of a QEMU which does not run at all.
func Probe(ctx context.Context, binary, cacheDir string) (Choice, error) {
	path, err := find(or(binary, DefaultBinary))
	if err != nil {
		return Choice{}, err
	}
	key, err := probeKey(path)
	if err != nil {
		return Choice{}, err
	}
	cache := filepath.Join(cacheDir, "accel.json")
	if c, ok := loadChoice(cache, key); ok && cacheDir != "" {
		return c, nil
	}
	c, err := probe("/dev/kvm", func(accel string) (time.Duration, error) { return bootTime(ctx, path, accel) })
	if err == nil {
		err = ctx.Err() // a boot that was cut short says nothing
	}
	if err == nil && cacheDir != "" {
		err = saveChoice(cache, key, c)
	}
	return c, err
}

// probe chooses by what boot measures with each accelerator.
func probe(device string, boot func(accel string) (time.Duration, error)) (Choice, error) {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return Choice{TCG, "KVM cannot be used: " + err.Error()}, nil
	}
	f.Close()
	withKVM, err := boot(KVM)
	switch {
	case err != nil:
		return Choice{TCG, "KVM does not boot a guest: " + err.Error()}, nil
	case withKVM <= fastBoot:
		return Choice{KVM, "KVM booted the firmware in " + withKVM.Round(time.Millisecond).String()}, nil
	}
	withTCG, err := boot(TCG)
	if err != nil {
		return Choice{}, fmt.Errorf("QEMU does not boot its firmware: %w", err)
	}
	if withKVM <= withTCG {
		return Choice{KVM, fmt.Sprintf("KVM booted the firmware in %v, TCG in %v", withKVM, withTCG)}, nil
	}
	return Choice{TCG, fmt.Sprintf("KVM took %v to boot the firmware, TCG %v",
		withKVM.Round(time.Millisecond), withTCG.Round(time.Millisecond))}, nil
}

// bootTime measures from the process's start to the firmware's last word on the serial port.
func bootTime(ctx context.Context, binary, accel string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-accel", accel, "-machine", "pc,graphics=off", "-m", "32",
		"-display", "none", "-nodefaults", "-no-user-config",
		"-chardev", "stdio,id=probe0,signal=off", "-device", "isa-serial,chardev=probe0")
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	took := time.Duration(-1)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), bootedMark) {
			took = time.Since(begin)
			break
		}
	}
	timedOut := ctx.Err() != nil
	cancel()
	cmd.Wait()
	switch {
	case took >= 0:
		return took, nil
	case timedOut:
		return 0, fmt.Errorf("nothing came of it within %v", probeLimit)
	}
	return 0, errors.New(firstLine(complaints.String()))
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return or(line, "it ended without a word")
}

// cachedChoice is the cache file.
type cachedChoice struct {
	Key string `json:"key"`
	Choice
}

// probeKey changes with everything that the choice rests on: this boot of the host and this QEMU.
func probeKey(binary string) (string, error) {
	boot, err := bootID()
	if err != nil {
		return "", err
	}
	info, err := os.Stat(binary)
	if err != nil {
		return "", fmt.Errorf("QEMU: %w", err)
	}
	return fmt.Sprintf("%s %s %d %d", boot, binary, info.Size(), info.ModTime().UnixNano()), nil
}

func loadChoice(path, key string) (Choice, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Choice{}, false
	}
	var c cachedChoice
	if json.Unmarshal(data, &c) != nil || c.Key != key || c.Accel != KVM && c.Accel != TCG {
		return Choice{}, false
	}
	return c.Choice, true
}

func saveChoice(path, key string, c Choice) error {
	data, err := json.Marshal(cachedChoice{key, c})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("accelerator cache: %w", err)
	}
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("accelerator cache: %w", err)
	}
	return os.Rename(path+".new", path)
}
