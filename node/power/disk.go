package power

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ensureOverlay makes the overlay on its base when it is missing. It is made under another name first,
// because a half made one would be taken for the guest's disk ever after.
func ensureOverlay(ctx context.Context, d Disk) error {
	if d.Base == "" || d.Overlay == "" {
		return nil
	}
	if _, err := os.Stat(d.Overlay); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	img, err := find("qemu-img")
	if err != nil {
		return err
	}
	// A relative backing name would be taken from the overlay's folder.
	base, err := filepath.Abs(d.Base)
	if err != nil {
		return fmt.Errorf("disk base: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(d.Overlay), 0o700); err != nil {
		return fmt.Errorf("disk overlay: %w", err)
	}
	unfinished := d.Overlay + ".new"
	out, err := exec.CommandContext(ctx, img, "create", "-q", "-f", "qcow2", "-F", d.Format, "-b", base, unfinished).CombinedOutput()
	if err != nil {
		os.Remove(unfinished)
		return fmt.Errorf("disk overlay %s: %w: %s", d.Overlay, err, bytes.TrimSpace(out))
	}
	return os.Rename(unfinished, d.Overlay)
}
