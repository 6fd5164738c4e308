package guest

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const kernelMeta = "linux-image-amd64"

// programPackages are unpacked in full; what they link against is looked for
// in their dependencies.
var programPackages = []string{
	"busybox-static", "ipmitool", "freeipmi-tools", "freeipmi-bmc-watchdog", "openipmi", "qemu-guest-agent",
}

// hostLibraries is where sonames are looked for last.
const hostLibraries = "/"

// repo is Debian's packages as the guest sees them: what there is, what has
// been downloaded, what has been unpacked.
type repo struct {
	dir     string // of downloaded files
	log     func(string)
	kernel  string // package name; empty with a kernel of one's own
	deps    graph
	debs    map[string]deb
	present map[string]bool // unpacked
}

// openRepo resolves the packages without downloading any.
func openRepo(ctx context.Context, dir string, opts Options) (*repo, error) {
	r := &repo{dir: dir, log: opts.Log, present: map[string]bool{}}
	names := slices.Clone(programPackages)
	if opts.Kernel == "" {
		kernel, err := debianKernel(ctx)
		if err != nil {
			return nil, err
		}
		r.kernel = kernel
		names = append(names, kernel)
	}
	deps, err := aptDepends(ctx, programPackages...)
	if err != nil {
		return nil, err
	}
	r.deps = deps
	for name := range reachable(deps, programPackages) {
		if isLibrary(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	r.debs, err = aptCandidates(ctx, slices.Compact(names))
	return r, err
}

// debianKernel is the package behind the metapackage.
func debianKernel(ctx context.Context) (string, error) {
	out, err := run(ctx, "", "apt-cache", "depends", "--important", kernelMeta)
	if err != nil {
		return "", noLists([]string{kernelMeta}, err)
	}
	for _, dep := range parseDepends(out)[kernelMeta] {
		if strings.HasPrefix(dep, "linux-image-") {
			return dep, nil
		}
	}
	return "", noLists([]string{kernelMeta}, fmt.Errorf("%s names no kernel package", kernelMeta))
}

// reachable is the set of packages that the roots lead to, themselves included.
func reachable(deps graph, roots []string) map[string]bool {
	seen := map[string]bool{}
	queue := slices.Clone(roots)
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if !seen[name] {
			seen[name] = true
			queue = append(queue, deps[name]...)
		}
	}
	return seen
}

// versions is every package the image may draw on, for the content key.
func (r *repo) versions() []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(r.debs)) {
		all = append(all, r.debs[name].version()+" "+r.debs[name].hash)
	}
	return all
}

// unpacked is every package the image was made from.
func (r *repo) unpacked() []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(r.present)) {
		all = append(all, r.debs[name].version())
	}
	return all
}

// unpackPrograms fills root with the programs and with library packages until
// every soname is found: first packages named after a missing soname, as
// Debian's policy has it, then level by level whatever depends on what is there.
// The host's own libraries are the last resort.
func (r *repo) unpackPrograms(ctx context.Context, root string) (libraries, error) {
	next := slices.Clone(programPackages)
	if r.kernel != "" {
		next = append(next, r.kernel)
	}
	for {
		if err := r.unpack(ctx, root, next); err != nil {
			return nil, err
		}
		programs, err := elfPrograms(root)
		if err != nil {
			return nil, err
		}
		libs, missing, err := resolveLibraries(programs, root)
		if err != nil || len(missing) == 0 {
			return libs, err
		}
		if next = r.namedAfter(missing); len(next) == 0 {
			next = r.nextLevel()
		}
		if len(next) > 0 {
			continue
		}
		libs, missing, err = resolveLibraries(programs, root, hostLibraries)
		if err == nil && len(missing) > 0 {
			err = fmt.Errorf("no package and not this host has the libraries %v", missing)
		}
		return libs, err
	}
}

// namedAfter is the packages not yet unpacked whose names come from a soname:
// libgcrypt.so.20 is in libgcrypt20.
func (r *repo) namedAfter(sonames map[string]string) []string {
	wanted := map[string]bool{}
	for soname := range sonames {
		wanted[squash(strings.Replace(soname, ".so.", "", 1))] = true
	}
	return r.absent(func(name string) bool { return wanted[squash(strings.TrimSuffix(name, "t64"))] })
}

// squash takes out the separators, which packages and sonames use differently:
// libpcre2-8.so.0 and libpcre2-8-0, libgcc_s.so.1 and libgcc-s1.
func squash(name string) string {
	return strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(name))
}

// nextLevel is the library packages that unpacked ones depend on.
func (r *repo) nextLevel() []string {
	wanted := map[string]bool{}
	for name := range r.present {
		for _, dep := range r.deps[name] {
			wanted[dep] = true
		}
	}
	return r.absent(func(name string) bool { return wanted[name] })
}

// absent is the library packages not yet unpacked that are wanted.
func (r *repo) absent(wanted func(string) bool) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(r.debs)) {
		if isLibrary(name) && !r.present[name] && wanted(name) {
			names = append(names, name)
		}
	}
	return names
}

func (r *repo) unpack(ctx context.Context, root string, names []string) error {
	if err := r.download(ctx, names); err != nil {
		return err
	}
	for _, name := range names {
		if _, err := run(ctx, "", "dpkg-deb", "-x", filepath.Join(r.dir, r.debs[name].file), root); err != nil {
			return err
		}
		r.present[name] = true
	}
	return nil
}

// download fetches what is not there yet, through a folder of its own so that
// an interrupted download leaves nothing that looks finished.
func (r *repo) download(ctx context.Context, names []string) error {
	var absent []string
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(r.dir, r.debs[name].file)); err != nil {
			absent = append(absent, name)
		}
	}
	if len(absent) == 0 {
		return nil
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	partial, err := os.MkdirTemp(r.dir, "partial-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(partial)
	r.log("downloading " + strings.Join(absent, " "))
	if err := aptDownload(ctx, partial, absent); err != nil {
		return err
	}
	for _, name := range absent {
		file := r.debs[name].file
		if err := os.Rename(filepath.Join(partial, file), filepath.Join(r.dir, file)); err != nil {
			return fmt.Errorf("apt-get did not leave %s: %w", file, fs.ErrNotExist)
		}
	}
	return nil
}
