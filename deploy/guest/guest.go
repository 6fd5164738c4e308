package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

const (
	// ReadyLine is printed on the guest's console when the guest can be used.
	ReadyLine = "midplane-guest ready"

	// ToolPath is where Midplane's own program is in the guest.
	ToolPath = "/usr/bin/midplane-guest"

	// builderVersion is part of every cache key. Raise it when the builder's
	// code puts other things into the image; the embedded files count by
	// themselves.
	builderVersion = "3"
)

// Options says what to build and where to keep it.
type Options struct {
	// CacheDir keeps images and downloaded packages. It is created.
	CacheDir string

	// Kernel is a bzImage to use in place of Debian's. Empty: Debian's.
	Kernel string

	// ModulesDir is the module tree of Kernel (as /lib/modules/RELEASE).
	// Empty with a Kernel: everything is taken to be built in.
	ModulesDir string

	// Log is told what is being done, a line at a time. May be nil.
	Log func(string)
}

// Image is a guest that can be booted with QEMU's -kernel and -initrd.
type Image struct {
	// Kernel and Initrd are absolute paths in the cache. Debian's kernel is
	// unpacked, another one is as it was given; the initramfs is not packed.
	Kernel string `json:"kernel"`
	Initrd string `json:"initrd"`

	// Version is the content key: equal versions are equal images.
	Version string `json:"version"`

	// Release is the kernel release of the modules, as uname -r prints it;
	// empty if the image has none.
	Release string `json:"release"`

	// Modules are the modules loaded at boot, in loading order.
	Modules []string `json:"modules"`

	// Packages are the Debian packages in the image, as name=version.
	Packages []string `json:"packages"`

	// KernelSize and InitrdSize are in bytes.
	KernelSize int64 `json:"kernelSize"`
	InitrdSize int64 `json:"initrdSize"`
}

// Build returns the image for the options, building it if the cache has none.
// A second call with the same options and package lists needs no network.
// Calls in several processes at once are safe: one builds, the others wait.
func Build(ctx context.Context, opts Options) (Image, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return Image{}, fmt.Errorf("guest image: %w", err)
	}
	image, err := build(ctx, opts)
	if err != nil {
		return Image{}, fmt.Errorf("guest image: %w", err)
	}
	return image, nil
}

func (o Options) withDefaults() (Options, error) {
	if o.Log == nil {
		o.Log = func(string) {}
	}
	if o.CacheDir == "" {
		return o, errors.New("no cache folder given")
	}
	if o.ModulesDir != "" && o.Kernel == "" {
		return o, errors.New("a module tree without its kernel: give both")
	}
	if runtime.GOARCH != "amd64" {
		return o, fmt.Errorf("the lab guest is amd64 only, this host is %s", runtime.GOARCH)
	}
	for _, path := range []*string{&o.CacheDir, &o.Kernel, &o.ModulesDir} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return o, err
		}
		*path = abs
	}
	return o, nil
}

func build(ctx context.Context, opts Options) (Image, error) {
	tool, err := guestTool(ctx, opts)
	if err != nil {
		return Image{}, err
	}
	inputs, err := fingerprint(opts, tool)
	if err != nil {
		return Image{}, err
	}
	store := cache{dir: opts.CacheDir, inputs: inputs}
	stamp := aptStamp()
	if image, ok := store.current(stamp); ok {
		return image, nil
	}
	if err := os.MkdirAll(opts.CacheDir, 0o755); err != nil {
		return Image{}, err
	}
	unlock, err := lock(ctx, filepath.Join(opts.CacheDir, "lock"))
	if err != nil {
		return Image{}, err
	}
	defer unlock()
	if image, ok := store.current(stamp); ok {
		return image, nil
	}
	image, err := assemble(ctx, opts, store, tool)
	if err == nil {
		return image, store.point(image, stamp)
	}
	// Newer package lists without a network are no reason to have no guest.
	if old, ok := store.current(""); ok && ctx.Err() == nil {
		opts.Log("keeping the guest image built before, it cannot be renewed: " + err.Error())
		return old, nil
	}
	return Image{}, err
}

// assemble resolves today's packages and builds their image, unless the cache
// has it from before the package lists changed.
func assemble(ctx context.Context, opts Options, store cache, tool []byte) (Image, error) {
	if opts.Kernel != "" { // one that will not do is told of before anything is fetched
		if _, _, err := kernelFiles(opts, ""); err != nil {
			return Image{}, err
		}
	}
	repo, err := openRepo(ctx, filepath.Join(opts.CacheDir, "debs"), opts)
	if err != nil {
		return Image{}, err
	}
	version := store.version(repo.versions())
	if image, ok := store.load(version); ok {
		return image, nil
	}
	scratch, err := os.MkdirTemp(opts.CacheDir, "build-")
	if err != nil {
		return Image{}, err
	}
	defer os.RemoveAll(scratch)

	root := filepath.Join(scratch, "root")
	libs, err := repo.unpackPrograms(ctx, root)
	if err != nil {
		return Image{}, err
	}
	kernel, mods, err := kernelFiles(opts, root)
	if err != nil {
		return Image{}, err
	}
	if opts.Kernel == "" {
		unpacked := filepath.Join(scratch, "vmlinux")
		if err := unpackKernel(ctx, kernel, unpacked); err == nil {
			kernel = unpacked
		} else {
			opts.Log("the guest boots more slowly: " + err.Error())
		}
	}
	files, err := layOut(root, libs, mods, tool)
	if err != nil {
		return Image{}, err
	}
	image := Image{Version: version, Release: mods.release, Modules: mods.order, Packages: repo.unpacked()}
	return store.save(scratch, image, kernel, files)
}

// kernelFiles finds the kernel and picks its modules.
func kernelFiles(opts Options, root string) (kernel string, mods moduleSet, err error) {
	if opts.Kernel != "" {
		if opts.ModulesDir == "" {
			return opts.Kernel, moduleSet{}, nil
		}
		mods, err = pickModules(opts.ModulesDir, opts.Log)
		return opts.Kernel, mods, err
	}
	kernels, _ := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	trees, _ := filepath.Glob(filepath.Join(root, "lib", "modules", "*"))
	if len(trees) == 0 {
		trees, _ = filepath.Glob(filepath.Join(root, "usr", "lib", "modules", "*"))
	}
	if len(kernels) != 1 || len(trees) != 1 {
		return "", moduleSet{}, fmt.Errorf("the kernel package holds %d kernels and %d module trees, want one of each", len(kernels), len(trees))
	}
	mods, err = pickModules(trees[0], opts.Log)
	return kernels[0], mods, err
}
