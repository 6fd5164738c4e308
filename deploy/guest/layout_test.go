package guest

import (
	"io/fs"
	"os/exec"
	"path"
	"strings"
	"testing"
)

func TestCmdline(t *testing.T) {
	for cmdline, want := range map[string]string{
		"":                                  "midplane-guest,,,",
		"quiet midplane.name=blade1":        "blade1,,,",
		"midplane.name= root=/dev/vda":      "midplane-guest,,,",
		"midplane.watchdog":                 "midplane-guest,1,,",
		"midplane.watchdog=1 x=*":           "midplane-guest,1,,",
		"midplane.watchdog=0":               "midplane-guest,,,",
		"midplane.poweroff acpi=off":        "midplane-guest,,1,",
		"midplane.poweroffx midplane.w":     "midplane-guest,,,",
		"midplane.login=Secret.1=x":         "midplane-guest,,,Secret.1=x",
		"midplane.login midplane.login=":    "midplane-guest,,,",
		"midplane.login=x midplane.login=0": "midplane-guest,,,",
	} {
		script := `. rootfs/lib/cmdline; parse_cmdline "$@"; echo "$guest_name,$guest_watchdog,$guest_poweroff,$guest_login"`
		args := append([]string{"-euc", script, "sh"}, strings.Fields(cmdline)...)
		out, err := exec.Command("sh", args...).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%q: %q, %v, want %q", cmdline, out, err, want)
		}
	}
}

func TestScriptsParse(t *testing.T) {
	err := fs.WalkDir(rootfs, "rootfs/lib", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if out, err := exec.Command("sh", "-n", name).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", name, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRootfsLayout(t *testing.T) {
	files := tree{}
	skeleton(files)
	if err := files.addRootfs(); err != nil {
		t.Fatal(err)
	}
	files.addModules(moduleSet{release: "6.1", order: []string{"a", "b"}, files: map[string][]byte{"a": nil, "b": nil}})

	inittab := string(files["etc/inittab"].data)
	for line := range strings.Lines(inittab) {
		_, command, found := strings.Cut(strings.TrimSpace(line), "/usr/lib/midplane/")
		if found && files["usr/lib/midplane/"+command].mode.Perm() != 0o755 {
			t.Errorf("inittab runs %s, which is not a program in the image", command)
		}
	}
	for name, entry := range files {
		target := strings.TrimPrefix(string(entry.data), "/")
		if entry.mode&fs.ModeSymlink != 0 && strings.HasPrefix(target, "usr/lib/midplane/") && files[target].mode == 0 {
			t.Errorf("%s points to %s, which is not there", name, target)
		}
		if parent := path.Dir(name); parent != "." && !files[parent].mode.IsDir() {
			t.Errorf("%s has no folder", name)
		}
	}
	if got := string(files["etc/modules-load.d/midplane.conf"].data); got != "a\nb\n" {
		t.Errorf("modules to load: %q", got)
	}
	if files["etc/passwd"].mode != 0o644 || files["bin"].mode&fs.ModeSymlink == 0 {
		t.Error("permissions or links are wrong")
	}
}

func TestLines(t *testing.T) {
	if lines(nil) != "" || lines([]string{"a", "b"}) != "a\nb\n" {
		t.Error("lines")
	}
}
