package power

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/midplane-project/midplane/node/power/qmp"
)

// packages are Debian's names for the programs that we run.
var packages = map[string]string{
	"qemu-system-x86_64": "qemu-system-x86",
	"qemu-img":           "qemu-utils",
}

// find looks a program up and says what to install when it is missing.
func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err == nil {
		return path, nil
	}
	if pkg := packages[filepath.Base(program)]; pkg != "" && errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("%s is not installed: apt install %s", program, pkg)
	}
	return "", fmt.Errorf("cannot run %s: %w", program, err)
}

var versionLine = regexp.MustCompile(`version (\d+)\.(\d+)\.(\d+)`)

// QEMUVersion asks a QEMU binary for its release.
func QEMUVersion(ctx context.Context, binary string) (qmp.Version, error) {
	path, err := find(or(binary, DefaultBinary))
	if err != nil {
		return qmp.Version{}, err
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return qmp.Version{}, fmt.Errorf("%s --version: %w", path, err)
	}
	return parseVersion(string(out))
}

func parseVersion(out string) (qmp.Version, error) {
	m := versionLine.FindStringSubmatch(out)
	if m == nil {
		return qmp.Version{}, fmt.Errorf("no QEMU version in %.80q", out)
	}
	var n [3]int
	for i := range n {
		v, err := strconv.Atoi(m[i+1])
		if err != nil {
			return qmp.Version{}, fmt.Errorf("QEMU version %s: %w", m[0], err)
		}
		n[i] = v
	}
	return qmp.Version{Major: n[0], Minor: n[1], Micro: n[2]}, nil
}

// Check finds what would keep a VM from starting, before anything is touched.
func Check(s Spec) error {
	if err := CheckFiles(s); err != nil {
		return err
	}
	for _, path := range s.withDefaults().sockets() {
		if err := checkSocketFree(path); err != nil {
			return fmt.Errorf("VM %q: %w", s.Name, err)
		}
	}
	return nil
}

// CheckFiles is Check without the sockets, which a VM that runs already has.
func CheckFiles(s Spec) error {
	s = s.withDefaults()
	if _, err := find(s.Binary); err != nil {
		return err
	}
	for _, f := range []struct{ what, path string }{{"kernel", s.Kernel}, {"initrd", s.Initrd}, {"disk base", s.Disk.Base}} {
		if err := readable(f.path); f.path != "" && err != nil {
			return fmt.Errorf("%s of VM %q cannot be read: %w", f.what, s.Name, err)
		}
	}
	return nil
}

func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// checkSocketFree makes sure that nobody listens. QEMU would not: it removes the path and takes its place.
func checkSocketFree(path string) error {
	if err := CheckSocketPath(path); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("socket: %w", err)
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("socket path %s is taken by something that is no socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
	}
	if err == nil || !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("socket %s is taken: another process, perhaps a QEMU, listens there", path)
	}
	return nil
}
