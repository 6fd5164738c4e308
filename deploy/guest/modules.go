package guest

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// bootModules are loaded at boot in this order, each after what it depends on.
// The bus and button drivers come first, then IPMI: with the message handler
// and its device in place, an interface driver that finds a BMC makes
// /dev/ipmi0 at once. ipmi_ssif finds its device through the SMBus drivers.
var bootModules = []string{
	"virtio_pci", "virtio_console", "virtio_net", "virtio_blk",
	"button", "evdev", "pvpanic_mmio", "pvpanic_pci",
	"ipmi_msghandler", "ipmi_devintf", "ipmi_si",
	"i2c_smbus", "i2c_i801", "i2c_piix4", "ipmi_ssif",
	"acpi_ipmi",
}

// askedModules are in the image but loaded only on request.
var askedModules = []string{"ipmi_watchdog", "ipmi_poweroff"}

// requiredModules must be there or built in, or the guest would be pointless.
var requiredModules = []string{"ipmi_msghandler", "ipmi_devintf", "ipmi_si"}

// moduleSet is what the guest gets of a kernel's modules.
type moduleSet struct {
	release string
	order   []string            // loaded at boot, dependencies first
	files   map[string][]byte   // name → ELF, uncompressed
	deps    map[string][]string // name → all it needs, in loading order
}

// moduleTree is a folder of modules and what has been read of it.
type moduleTree struct {
	dir     string
	paths   map[string]string // name → file
	builtin map[string]bool
	files   map[string][]byte
	needs   map[string][]string // direct dependencies
	release string
}

// pickModules reads the guest's modules and their dependencies out of a module
// tree. What the kernel has built in needs no file; what it lacks is left out,
// except for the IPMI driver itself.
func pickModules(dir string, log func(string)) (moduleSet, error) {
	tree, err := openModules(dir)
	if err != nil {
		return moduleSet{}, err
	}
	for _, name := range requiredModules {
		if !tree.has(name) {
			return moduleSet{}, fmt.Errorf("%s has no %s: this kernel is built without IPMI (Debian's cloud kernels are); choose another", dir, name)
		}
	}
	set := moduleSet{deps: map[string][]string{}}
	for _, name := range bootModules {
		if !tree.has(name) {
			log("this kernel has no " + name + ", the guest goes without")
			continue
		}
		if set.order, err = tree.load(name, set.order); err != nil {
			return moduleSet{}, err
		}
	}
	for _, name := range askedModules {
		if !tree.has(name) {
			continue
		}
		if _, err := tree.load(name, nil); err != nil {
			return moduleSet{}, err
		}
	}
	for name := range tree.files {
		chain, err := tree.load(name, nil)
		if err != nil {
			return moduleSet{}, err
		}
		set.deps[name] = chain[:len(chain)-1]
	}
	set.files, set.release = tree.files, tree.release
	return set, nil
}

func openModules(dir string) (*moduleTree, error) {
	t := &moduleTree{
		dir: dir, paths: map[string]string{}, builtin: map[string]bool{},
		files: map[string][]byte{}, needs: map[string][]string{},
	}
	err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name, ok := moduleName(file); ok && !entry.IsDir() {
			t.paths[name] = file
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("modules: %w", err)
	}
	list, err := os.Open(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return t, nil // a tree without the list has nothing built in
	}
	defer list.Close()
	for lines := bufio.NewScanner(list); lines.Scan(); {
		if name, ok := moduleName(lines.Text()); ok {
			t.builtin[name] = true
		}
	}
	return t, nil
}

// moduleName is the name the kernel knows a module file by: modprobe(8) takes
// dashes and underscores for the same.
func moduleName(file string) (string, bool) {
	base, _, found := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(base, "-", "_"), found
}

func (t *moduleTree) has(name string) bool {
	return t.builtin[name] || t.paths[name] != ""
}

// load appends the module to the order after what it depends on, and reads its
// file on first sight.
func (t *moduleTree) load(name string, order []string) ([]string, error) {
	return t.visit(name, order, nil)
}

func (t *moduleTree) visit(name string, order, trail []string) ([]string, error) {
	if t.builtin[name] || slices.Contains(order, name) {
		return order, nil
	}
	if slices.Contains(trail, name) {
		return nil, fmt.Errorf("modules depend on each other: %s", strings.Join(append(trail, name), " → "))
	}
	if err := t.read(name); err != nil {
		return nil, err
	}
	var err error
	for _, need := range t.needs[name] {
		if order, err = t.visit(need, order, append(trail, name)); err != nil {
			return nil, err
		}
	}
	return append(order, name), nil
}

func (t *moduleTree) read(name string) error {
	if t.files[name] != nil {
		return nil
	}
	file := t.paths[name]
	if file == "" {
		return fmt.Errorf("module %s is not in %s", name, t.dir)
	}
	data, err := readModule(file)
	if err != nil {
		return err
	}
	info, err := parseModinfo(data)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if t.release == "" {
		t.release = info.release
	}
	if info.release != t.release {
		return fmt.Errorf("%s holds modules of %s and of %s: name one kernel's folder", t.dir, t.release, info.release)
	}
	t.files[name] = data
	t.needs[name] = slices.DeleteFunc(info.depends, func(n string) bool { return t.builtin[n] })
	for _, soft := range info.softPre {
		if t.has(soft) {
			t.needs[name] = append(t.needs[name], soft)
		}
	}
	return nil
}
