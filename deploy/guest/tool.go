package guest

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

const toolPackage = "github.com/midplane-project/midplane/deploy/guest/tools"

// toolDir holds guest-tools if `make build` put it there before compiling, and
// always its README, so that a plain go build works.
//
//go:embed tools/bin
var toolDir embed.FS

// guestTool returns Midplane's own program for the guest: the embedded one, or
// one built now.
func guestTool(ctx context.Context, opts Options) ([]byte, error) {
	tool, err := toolDir.ReadFile("tools/bin/guest-tools")
	if err == nil {
		return tool, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if tool, err = buildTool(ctx, opts); err != nil {
		return nil, fmt.Errorf("this binary was built without the guest's own program, and it cannot be built here: %w\n"+
			"build midplane with: make build", err)
	}
	return tool, nil
}

// buildTool needs the Go toolchain and, in or above the working folder, this
// module's source.
func buildTool(ctx context.Context, opts Options) ([]byte, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(opts.CacheDir, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(opts.CacheDir, "tool-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "guest-tools")
	_, err = run(ctx, "", "env", "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64",
		"go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, toolPackage)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}
