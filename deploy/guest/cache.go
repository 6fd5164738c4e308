package guest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// cache keeps finished images:
//
//	DIR/VERSION/{kernel,initrd,image.json}   images, by content
//	DIR/current-INPUTS.json                  which one the inputs gave last
//
// An image folder appears by one rename, so it is whole or absent.
type cache struct {
	dir    string
	inputs string // fingerprint of everything but the packages
}

// pointer remembers the answer for as long as the package lists stay as they
// were.
type pointer struct {
	Version string `json:"version"`
	Apt     string `json:"apt"`
}

// version is the content key of an image with these packages.
func (c cache) version(packages []string) string {
	sum := sha256.New()
	fmt.Fprintln(sum, c.inputs)
	for _, p := range packages {
		fmt.Fprintln(sum, p)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// current returns the image that the inputs gave last, if the package lists
// have not changed since or are gone.
func (c cache) current(stamp string) (Image, bool) {
	data, err := os.ReadFile(c.pointerPath())
	if err != nil {
		return Image{}, false
	}
	var p pointer
	if json.Unmarshal(data, &p) != nil || (stamp != "" && p.Apt != stamp) {
		return Image{}, false
	}
	return c.load(p.Version)
}

// load returns a finished image; one whose files have lost bytes is not.
func (c cache) load(version string) (Image, bool) {
	if version == "" {
		return Image{}, false
	}
	dir := filepath.Join(c.dir, filepath.Base(version))
	data, err := os.ReadFile(filepath.Join(dir, "image.json"))
	if err != nil {
		return Image{}, false
	}
	var image Image
	if json.Unmarshal(data, &image) != nil {
		return Image{}, false
	}
	image.Kernel = filepath.Join(dir, "kernel")
	image.Initrd = filepath.Join(dir, "initrd")
	whole := hasSize(image.Kernel, image.KernelSize) && hasSize(image.Initrd, image.InitrdSize)
	return image, whole
}

// save writes the image in the scratch folder and moves it to its place.
func (c cache) save(scratch string, image Image, kernel string, files tree) (Image, error) {
	staged := filepath.Join(scratch, "image")
	if err := os.Mkdir(staged, 0o755); err != nil {
		return Image{}, err
	}
	data, err := os.ReadFile(kernel)
	if err != nil {
		return Image{}, fmt.Errorf("kernel: %w", err)
	}
	var initrd bytes.Buffer
	if err := files.writeTo(&initrd); err != nil {
		return Image{}, fmt.Errorf("initramfs: %w", err)
	}
	image.KernelSize = int64(len(data))
	image.InitrdSize = int64(initrd.Len())
	about, err := json.MarshalIndent(image, "", "  ")
	if err != nil {
		return Image{}, err
	}
	for name, content := range map[string][]byte{"kernel": data, "initrd": initrd.Bytes(), "image.json": about} {
		if err := os.WriteFile(filepath.Join(staged, name), content, 0o644); err != nil {
			return Image{}, err
		}
	}
	final := filepath.Join(c.dir, image.Version)
	if err := os.RemoveAll(final); err != nil {
		return Image{}, err
	}
	if err := os.Rename(staged, final); err != nil {
		return Image{}, err
	}
	saved, ok := c.load(image.Version)
	if !ok {
		return Image{}, fmt.Errorf("%s: the image just written cannot be read back", final)
	}
	return saved, nil
}

// point records the image as the answer for these inputs.
func (c cache) point(image Image, stamp string) error {
	data, err := json.Marshal(pointer{Version: image.Version, Apt: stamp})
	if err != nil {
		return err
	}
	temp := c.pointerPath() + ".new"
	if err := os.WriteFile(temp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(temp, c.pointerPath())
}

func (c cache) pointerPath() string {
	return filepath.Join(c.dir, "current-"+c.inputs+".json")
}

func hasSize(path string, size int64) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() == size
}

// fingerprint covers what the image is made of apart from packages.
func fingerprint(opts Options, tool []byte) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, builderVersion)
	if err := hashRootfs(sum); err != nil {
		return "", err
	}
	sum.Write(tool)
	for _, path := range []string{opts.Kernel, opts.ModulesDir} {
		if err := hashStat(sum, path); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

// hashStat stands for a kernel or module tree, which are too big to read on
// every call.
func hashStat(w io.Writer, path string) error {
	if path == "" {
		fmt.Fprintln(w)
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	size := info.Size()
	if info.IsDir() {
		size = 0
	}
	fmt.Fprintln(w, path, size, info.ModTime().UnixNano())
	return nil
}

// lock takes the file's lock, waiting while another process builds.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("waiting for another build: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
