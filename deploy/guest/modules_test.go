package guest

import (
	"bytes"
	"compress/gzip"
	"slices"
	"strings"
	"testing"
)

const testRelease = "6.1.0-1-amd64"

// fakeModules writes a module tree with every module the guest knows, all
// without dependencies but for those given.
func fakeModules(t *testing.T, depends map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	names := slices.Concat(bootModules, askedModules)
	for name := range depends {
		names = append(names, name)
	}
	for _, name := range names {
		info := "license=GPL\x00depends=" + depends[name] + "\x00vermagic=" + testRelease + " SMP\x00"
		file := strings.ReplaceAll(name, "_", "-") + ".ko"
		writeFile(t, fakeModule(info), dir, "kernel/drivers", file)
	}
	return dir
}

func TestPickModulesOrder(t *testing.T) {
	dir := fakeModules(t, map[string]string{
		"virtio_pci": "virtio_ring,virtio", "virtio_ring": "virtio", "virtio": "",
		"ipmi_devintf": "ipmi-msghandler", "ipmi_si": "ipmi-msghandler", "ipmi_watchdog": "ipmi-msghandler,wd-core", "wd_core": "",
		"i2c_i801": "i2c-smbus",
	})
	set, err := pickModules(dir, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if set.release != testRelease {
		t.Errorf("release %q", set.release)
	}
	start := []string{"virtio", "virtio_ring", "virtio_pci", "virtio_console"}
	if !slices.Equal(set.order[:4], start) {
		t.Errorf("order starts %v, want %v", set.order[:4], start)
	}
	for _, module := range bootModules {
		at := slices.Index(set.order, module)
		for _, need := range set.deps[module] {
			if before := slices.Index(set.order, need); before < 0 || before > at {
				t.Errorf("%s is loaded at %d, %s which it needs at %d", module, at, need, before)
			}
		}
	}
	if slices.Contains(set.order, "ipmi_watchdog") || slices.Contains(set.order, "wd_core") {
		t.Error("the watchdog is loaded without being asked for")
	}
	if set.files["ipmi_watchdog"] == nil || set.files["wd_core"] == nil {
		t.Error("the watchdog is not in the image")
	}
	index := modulesDep(set)
	for _, line := range []string{"virtio_pci.ko: virtio_ring.ko virtio.ko\n", "virtio.ko:\n", "ipmi_watchdog.ko: wd_core.ko ipmi_msghandler.ko\n"} {
		if !strings.Contains(index, line) {
			t.Errorf("modules.dep lacks %q:\n%s", line, index)
		}
	}
}

func TestPickModulesBuiltin(t *testing.T) {
	dir := t.TempDir()
	info := "depends=ipmi_msghandler\x00vermagic=" + testRelease + "\x00"
	writeFile(t, fakeModule(info), dir, "kernel/ipmi_si.ko")
	writeFile(t, []byte("kernel/drivers/char/ipmi/ipmi_msghandler.ko\nkernel/drivers/char/ipmi/ipmi_devintf.ko\n"), dir, "modules.builtin")
	var said []string
	set, err := pickModules(dir, func(s string) { said = append(said, s) })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(set.order, []string{"ipmi_si"}) || len(set.deps["ipmi_si"]) != 0 {
		t.Errorf("order %v, deps %v", set.order, set.deps)
	}
	if !slices.Contains(said, "this kernel has no virtio_net, the guest goes without") {
		t.Errorf("said %q", said)
	}
}

func TestPickModulesErrors(t *testing.T) {
	two := fakeModules(t, nil)
	writeFile(t, fakeModule("vermagic=5.0 \x00"), two, "kernel/ipmi_ssif.ko.d/../drivers/ipmi-ssif.ko")
	broken := fakeModules(t, nil)
	writeFile(t, []byte("not ELF"), broken, "kernel/drivers/ipmi-si.ko")
	for name, tt := range map[string]struct{ dir, want string }{
		"empty":       {t.TempDir(), "built without IPMI"},
		"absent":      {t.TempDir() + "/nowhere", "no such file"},
		"cycle":       {fakeModules(t, map[string]string{"ipmi_si": "evdev", "evdev": "ipmi_si"}), "depend on each other"},
		"lacking":     {fakeModules(t, map[string]string{"ipmi_si": "gone"}), "module gone is not in"},
		"two kernels": {two, "name one kernel's folder"},
		"broken":      {broken, "not a kernel module"},
	} {
		if _, err := pickModules(tt.dir, func(string) {}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func TestReadModuleGzip(t *testing.T) {
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	zip.Write([]byte("module"))
	zip.Close()
	file := writeFile(t, packed.Bytes(), t.TempDir(), "a.ko.gz")
	if data, err := readModule(file); err != nil || string(data) != "module" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestParseModinfoSection(t *testing.T) {
	got := parseModinfoSection([]byte("softdep=pre: a-b c post: d\x00depends=e,f-g\x00vermagic=6.1 SMP\x00noise\x00"))
	if got.release != "6.1" || !slices.Equal(got.depends, []string{"e", "f_g"}) || !slices.Equal(got.softPre, []string{"a_b", "c"}) {
		t.Errorf("%+v", got)
	}
}

func FuzzParseModinfo(f *testing.F) {
	f.Add(fakeModule("depends=a,b\x00vermagic=6.1 SMP\x00"))
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, module []byte) {
		info, err := parseModinfo(module)
		if err == nil && strings.Contains(info.release, " ") {
			t.Errorf("release %q", info.release)
		}
	})
}
