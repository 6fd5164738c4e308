package guest

import (
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// rootfs holds the guest's own scripts and settings: etc/ goes to /etc, lib/ to
// /usr/lib/midplane.
//
//go:embed rootfs
var rootfs embed.FS

// mergedDirs are links into /usr, as on Debian.
var mergedDirs = []string{"bin", "sbin", "lib", "lib64"}

// dataFiles are taken from the packages if they are there: ipmitool's table of
// vendor names, without which it complains on every run, and the file that
// FreeIPMI makes its semaphore key from.
var dataFiles = []string{
	"usr/share/misc/enterprise-numbers.txt",
	"var/lib/freeipmi/ipckey",
}

// layOut makes the guest's root file system.
func layOut(root string, libs libraries, mods moduleSet, tool []byte) (tree, error) {
	t := tree{}
	skeleton(t)
	if err := t.addRootfs(); err != nil {
		return nil, err
	}
	if err := t.addBusybox(root); err != nil {
		return nil, err
	}
	if err := t.addPrograms(root, libs); err != nil {
		return nil, err
	}
	t.addModules(mods)
	t.file(strings.TrimPrefix(ToolPath, "/"), 0o755, tool)
	return t, nil
}

func skeleton(t tree) {
	for _, dir := range mergedDirs {
		t.dir("usr/" + dir)
		t.symlink(dir, "usr/"+dir)
	}
	for _, dir := range []string{"dev", "proc", "sys", "run", "tmp", "root", "mnt", "var/log", "var/cache", "etc/acpi/PWRF"} {
		t.dir(dir)
	}
	t.symlink("var/run", "/run")
	t.symlink("etc/resolv.conf", "/run/resolv.conf")
	t.symlink("etc/mtab", "/proc/mounts")
}

// addRootfs copies the embedded files; embedding loses permissions, so scripts
// are known by their first line.
func (t tree) addRootfs() error {
	err := fs.WalkDir(rootfs, "rootfs", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := rootfs.ReadFile(name)
		if err != nil {
			return err
		}
		perm := fs.FileMode(0o644)
		if strings.HasPrefix(string(data), "#!") {
			perm = 0o755
		}
		name = strings.TrimPrefix(name, "rootfs/")
		if script, ok := strings.CutPrefix(name, "lib/"); ok {
			name = "usr/lib/midplane/" + script
		}
		t.file(name, perm, data)
		return nil
	})
	t.symlink("etc/acpi/PWRF/00000080", "/usr/lib/midplane/power-button-pressed")
	t.symlink("usr/sbin/shutdown", "/usr/lib/midplane/shutdown")
	return err
}

// addBusybox puts busybox in place, a link for each of its applets, and itself
// as pid 1. Applets never replace a file that is there already.
func (t tree) addBusybox(root string) error {
	file, ok := firstFile(root, "usr/bin/busybox", "bin/busybox")
	if !ok {
		return fmt.Errorf("busybox-static holds no busybox: %w", fs.ErrNotExist)
	}
	if err := t.copyFile("usr/bin/busybox", file); err != nil {
		return err
	}
	applets, err := run(context.Background(), "", file, "--list-full")
	if err != nil {
		return err
	}
	for _, applet := range strings.Fields(string(applets)) {
		if name := usrPath(applet); t[name].mode == 0 {
			t.symlink(name, "/usr/bin/busybox")
		}
	}
	t.symlink("init", "/usr/sbin/init")
	return nil
}

func (t tree) addPrograms(root string, libs libraries) error {
	programs, err := elfPrograms(root)
	if err != nil {
		return err
	}
	for _, file := range programs {
		if err := t.copyFile(strings.TrimPrefix(file, root+"/"), file); err != nil {
			return err
		}
	}
	t.symlink("usr/bin/ipmicmd", "openipmicmd")
	for _, name := range slices.Sorted(maps.Keys(libs)) {
		if err := t.copyFile(name, libs[name]); err != nil {
			return err
		}
	}
	for _, name := range dataFiles {
		if file, ok := firstFile(root, name); ok {
			if err := t.copyFile(name, file); err != nil {
				return err
			}
		}
	}
	return nil
}

// addModules writes the modules flat, with the index that modprobe reads and
// the list of those loaded at boot.
func (t tree) addModules(mods moduleSet) {
	t.file("etc/modules-load.d/midplane.conf", 0o644, []byte(lines(mods.order)))
	if mods.release == "" {
		return
	}
	dir := path.Join("usr/lib/modules", mods.release)
	for name, data := range mods.files {
		t.file(path.Join(dir, name+".ko"), 0o644, data)
	}
	t.file(path.Join(dir, "modules.dep"), 0o644, []byte(modulesDep(mods)))
}

// modulesDep writes depmod's index: each module, then all it needs, the one to
// load first at the end.
func modulesDep(mods moduleSet) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(mods.files)) {
		fmt.Fprintf(&text, "%s.ko:", name)
		for _, need := range slices.Backward(mods.deps[name]) {
			fmt.Fprintf(&text, " %s.ko", need)
		}
		text.WriteByte('\n')
	}
	return text.String()
}

func lines(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return strings.Join(words, "\n") + "\n"
}

func firstFile(root string, names ...string) (string, bool) {
	for _, name := range names {
		file := filepath.Join(root, name)
		if _, err := os.Stat(file); err == nil {
			return file, true
		}
	}
	return "", false
}

// hashRootfs adds the embedded files to a fingerprint.
func hashRootfs(w io.Writer) error {
	return fs.WalkDir(rootfs, "rootfs", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := rootfs.ReadFile(name)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s %d\n%s", name, len(data), data)
		return err
	})
}
