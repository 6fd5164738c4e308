//go:build e2e

package guest_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/midplane-project/midplane/deploy/guest"
)

// image builds the lab guest, or takes it from the cache that people use too.
func image(t *testing.T) guest.Image {
	t.Helper()
	start := time.Now()
	img, err := guest.Build(t.Context(), guest.Options{CacheDir: cacheDir(t), Log: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("image %s, kernel %s, %d + %d bytes, after %v", img.Version, img.Release, img.KernelSize, img.InitrdSize, time.Since(start))
	return img
}

func cacheDir(t *testing.T) string {
	t.Helper()
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	return filepath.Join(base, "midplane", "guest")
}

var kcs = []string{"-device", "ipmi-bmc-sim,id=bmc", "-device", "isa-ipmi-kcs,bmc=bmc"}

// TestGuestOnKCS is one boot's worth of what the guest has; the other interfaces
// and the other ways to boot are internal/e2e's and node/power's.
func TestGuestOnKCS(t *testing.T) {
	img := image(t)
	start := time.Now()
	v := startVM(t, img, "midplane.name=blade1 midplane.watchdog midplane.poweroff", kcs...)
	v.console.expect(guest.ReadyLine+"\n", 1)
	t.Logf("ready %v after QEMU's start", time.Since(start))

	v.console.expect("blade1:/root# ", 1)
	if _, err := v.input.Write([]byte("ipmitool mc info\n")); err != nil {
		t.Fatal(err)
	}
	v.console.expect("SEL Device", 1)

	v.agent.call("guest-ping", nil)
	out, code := v.exec("ipmitool", "mc", "info")
	if code != 0 || !strings.Contains(out, "IPMI Version              : 2.0") {
		t.Errorf("ipmitool mc info through the agent: exit code %d:\n%s", code, out)
	}
	if out, code = v.exec("bmc-info"); code != 0 {
		t.Errorf("FreeIPMI's bmc-info: exit code %d:\n%s", code, out)
	}
	if out, code = v.exec("openipmicmd", "-k", "0f 00 06 01", "smi", "0"); code != 0 || !strings.Contains(out, "20 00") {
		t.Errorf("OpenIPMI's ipmicmd: exit code %d:\n%s", code, out)
	}
	if out, code = v.exec("false"); code != 1 {
		t.Errorf("false: exit code %d: %s", code, out)
	}
	out, _ = v.exec("lsmod")
	for _, module := range []string{"ipmi_watchdog", "ipmi_poweroff"} {
		if !strings.Contains(out, module) {
			t.Errorf("%s is not loaded:\n%s", module, out)
		}
	}
	v.tool(t)

	v.qmp.call("system_powerdown", nil)
	v.console.expect("power button pressed, shutting down", 1)
	v.console.expect("reboot: Power down", 1)
	v.qmp.event("SHUTDOWN")
	v.waitExit()
}

// tool uses the guest's own tool.
func (v *vm) tool(t *testing.T) {
	t.Helper()
	out, code := v.exec(guest.ToolPath, "raw", "6", "1")
	if code != 0 || !strings.HasPrefix(out, "cc 00: 20 ") {
		t.Errorf("raw 6 1: exit code %d: %s", code, out)
	}
	if out, code = v.exec(guest.ToolPath, "raw", "0x30", "0x77"); code != 1 || out != "cc c1:\n" {
		t.Errorf("raw of an unknown command: exit code %d: %s", code, out)
	}
	if out, code = v.exec(guest.ToolPath, "loop", "--local", "--count", "100", "--mix", "both", "--tag", "0x1234"); code != 0 {
		t.Errorf("loop: exit code %d: %s", code, out)
	}
	var tally struct{ Sent, OK, Failed, Lost, Writes int }
	if err := json.Unmarshal([]byte(out), &tally); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if tally.Sent != 100 || tally.OK != 100 || tally.Writes != 50 {
		t.Errorf("loop counted %+v", tally)
	}
	out, _ = v.exec("ipmitool", "sel", "list")
	if got := strings.Count(out, "4d5000001234"); got != 50 {
		t.Errorf("%d of 50 records in the log:\n%s", got, out)
	}
}

func TestGuestWithoutBMC(t *testing.T) {
	v := startVM(t, image(t), "")
	v.console.expect(guest.ReadyLine+" (no ipmi)", 1)
	if out, code := v.exec("shutdown", "-h", "-P", "now"); code != 0 {
		t.Errorf("shutdown: exit code %d: %s", code, out)
	}
	v.waitExit()
}

// TestGuestWithoutACPI finds the BMC by SMBIOS.
func TestGuestWithoutACPI(t *testing.T) {
	v := startVM(t, image(t), "acpi=off midplane.poweroff", kcs...)
	v.console.expect(guest.ReadyLine+"\n", 1)
	v.console.expect("# ", 1)
	if _, err := v.input.Write([]byte("poweroff\n")); err != nil {
		t.Fatal(err)
	}
	// QEMU's built-in BMC has no chassis device that could switch off.
	v.console.expect("reboot: System halted", 1)
}

// TestKernelWithoutIPMI is the trap of cloud kernels.
func TestKernelWithoutIPMI(t *testing.T) {
	img := image(t)
	_, err := guest.Build(t.Context(), guest.Options{CacheDir: t.TempDir(), Kernel: img.Kernel, ModulesDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "ipmi_msghandler") {
		t.Errorf("an empty module tree gave %v", err)
	}
}

// TestOwnKernel boots a kernel and a module tree that the caller gives: here
// Debian's, unpacked by hand. Of two who build it at once one builds, and the
// other waits and gets the same.
func TestOwnKernel(t *testing.T) {
	img := image(t)
	root := t.TempDir()
	debs, err := filepath.Glob(filepath.Join(cacheDir(t), "debs", "linux-image-"+img.Release+"_*.deb"))
	if err != nil || len(debs) == 0 {
		t.Fatalf("no kernel package in the cache: %v", err)
	}
	if out, err := exec.Command("dpkg-deb", "-x", debs[0], root).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cache := t.TempDir()
	if err := os.Symlink(filepath.Join(cacheDir(t), "debs"), filepath.Join(cache, "debs")); err != nil {
		t.Fatal(err)
	}
	options := guest.Options{
		CacheDir:   cache,
		Kernel:     filepath.Join(root, "boot", "vmlinuz-"+img.Release),
		ModulesDir: filepath.Join(root, "lib", "modules", img.Release),
	}
	var built [2]guest.Image
	var wg sync.WaitGroup
	for i := range built {
		wg.Go(func() {
			img, err := guest.Build(t.Context(), options)
			if err != nil {
				t.Error(err)
			}
			built[i] = img
		})
	}
	wg.Wait()
	own := built[0]
	if own.Version != built[1].Version || own.Version == "" {
		t.Fatalf("versions %q and %q", own.Version, built[1].Version)
	}
	if left, err := filepath.Glob(filepath.Join(cache, "build-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if own.Version == img.Version || !slices.Equal(own.Modules, img.Modules) {
		t.Errorf("version %s, modules %v", own.Version, own.Modules)
	}
	v := startVM(t, own, "", kcs...)
	v.console.expect(guest.ReadyLine+"\n", 1)
}
