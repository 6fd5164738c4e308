package guest

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// guestPrograms are the programs that go into the guest, as patterns in the
// unpacked packages. The rest of those packages (simulators, user interfaces)
// would only draw in more libraries.
var guestPrograms = []string{
	"usr/bin/ipmitool", "usr/bin/openipmicmd",
	"usr/sbin/qemu-ga", "usr/sbin/bmc-*", "usr/sbin/ipmi*",
}

// libraryDirs is where a soname is looked for under a root; the first is also
// where it goes in the guest.
var libraryDirs = []string{
	"usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu",
	"usr/lib64", "lib64", "usr/lib", "lib",
}

// dlopened are libraries that no file names: glibc loads libgcc_s when a
// thread is cancelled, which FreeIPMI and OpenIPMI do.
var dlopened = []string{"libgcc_s.so.1"}

// libraries is the guest's shared libraries: path in the guest → file.
type libraries map[string]string

// elfPrograms lists the guest's programs under root, as paths below it.
func elfPrograms(root string) ([]string, error) {
	var found []string
	for _, pattern := range guestPrograms {
		matches, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		if len(matches) == 0 {
			return nil, fmt.Errorf("the packages hold no %s", pattern)
		}
		found = append(found, matches...)
	}
	return found, nil
}

// resolveLibraries follows what the programs need, and what that needs, through
// the roots in order. Sonames found nowhere are returned with a file that needs
// them.
func resolveLibraries(programs []string, roots ...string) (libs libraries, missing map[string]string, err error) {
	libs = libraries{}
	missing = map[string]string{}
	seen := map[string]bool{}
	queue := slices.Clone(programs)

	want := func(soname, by string) {
		if seen[soname] {
			return
		}
		seen[soname] = true
		if file, ok := findLibrary(soname, roots); ok {
			libs[path.Join(libraryDirs[0], soname)] = file
			queue = append(queue, file)
		} else {
			missing[soname] = filepath.Base(by)
		}
	}
	for _, soname := range dlopened {
		want(soname, "threads")
	}
	for len(queue) > 0 {
		file := queue[0]
		queue = queue[1:]
		interp, needed, err := elfNeeds(file)
		if err != nil {
			return nil, nil, err
		}
		if loader, ok := findLibrary(path.Base(interp), roots); ok {
			libs[usrPath(interp)] = loader
		} else if interp != "" {
			missing[path.Base(interp)] = filepath.Base(file)
		}
		for _, soname := range needed {
			want(soname, file)
		}
	}
	return libs, missing, nil
}

// findLibrary returns the file of a soname with its symlinks resolved.
func findLibrary(soname string, roots []string) (string, bool) {
	if soname == "" || soname == "." {
		return "", false
	}
	for _, root := range roots {
		for _, dir := range libraryDirs {
			file, err := filepath.EvalSymlinks(filepath.Join(root, dir, soname))
			if err == nil {
				return file, true
			}
		}
	}
	return "", false
}

// elfNeeds reads a file's loader and the sonames it links against; a script has
// neither.
func elfNeeds(name string) (interp string, needed []string, err error) {
	raw, err := os.Open(name)
	if err != nil {
		return "", nil, err
	}
	defer raw.Close()
	file, err := elf.NewFile(raw)
	var notELF *elf.FormatError
	if errors.As(err, &notELF) || errors.Is(err, io.EOF) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", name, err)
	}
	needed, err = file.ImportedLibraries()
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, prog := range file.Progs {
		if prog.Type != elf.PT_INTERP {
			continue
		}
		text := make([]byte, prog.Filesz)
		if _, err := prog.ReadAt(text, 0); err != nil {
			return "", nil, fmt.Errorf("%s: loader name: %w", name, err)
		}
		interp = strings.TrimRight(string(text), "\x00")
	}
	return interp, needed, nil
}

// usrPath is a path in the guest, where /bin, /lib and so on are links into
// /usr.
func usrPath(name string) string {
	name = strings.TrimPrefix(name, "/")
	top, _, _ := strings.Cut(name, "/")
	if slices.Contains(mergedDirs, top) {
		return path.Join("usr", name)
	}
	return name
}
