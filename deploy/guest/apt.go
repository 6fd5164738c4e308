package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// graph is who depends on whom among packages, alternatives included.
type graph map[string][]string

// deb is a package that apt would download now.
type deb struct {
	name string
	file string // as apt names it: name_version_arch.deb, ':' as %3a
	hash string
}

// version is the deb as name=version.
func (d deb) version() string {
	parts := strings.Split(strings.TrimSuffix(d.file, ".deb"), "_")
	if len(parts) < 2 {
		return d.name
	}
	return d.name + "=" + strings.ReplaceAll(parts[1], "%3a", ":")
}

// aptDepends asks for the dependency closure of the packages.
func aptDepends(ctx context.Context, names ...string) (graph, error) {
	args := append([]string{"depends", "--recurse", "--important"}, names...)
	out, err := run(ctx, "", "apt-cache", args...)
	if err != nil {
		return nil, noLists(names, err)
	}
	return parseDepends(out), nil
}

// parseDepends reads what apt-cache depends prints:
//
//	ipmitool
//	  PreDepends: init-system-helpers
//	 |Depends: a-package-or
//	  Depends: <a-virtual-one>
//	    its-provider
func parseDepends(out []byte) graph {
	deps := graph{}
	var name string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimRight(line, "\n")
		if line == "" {
			continue
		}
		if !strings.HasPrefix(line, " ") {
			name = line
			continue
		}
		if _, after, found := strings.Cut(line, "epends: "); found {
			line = after
		}
		if dep := strings.TrimSpace(line); !strings.HasPrefix(dep, "<") {
			deps[name] = append(deps[name], dep)
		}
	}
	return deps
}

// aptCandidates asks which files apt would download for the packages.
func aptCandidates(ctx context.Context, names []string) (map[string]deb, error) {
	args := append([]string{"download", "--print-uris"}, names...)
	out, err := run(ctx, "", "apt-get", args...)
	if err != nil {
		return nil, noLists(names, err)
	}
	found := parseURIs(out)
	for _, name := range names {
		if _, ok := found[name]; !ok {
			return nil, noLists([]string{name}, errors.New("apt knows no place to download it from"))
		}
	}
	return found, nil
}

var uriLine = regexp.MustCompile(`(?m)^'[^']+' (([^_ ]+)_[^ ]+\.deb) \d+ ?(\S*)`)

// parseURIs reads what apt-get download --print-uris prints:
//
//	'http://…/acpid_2.0.33-2+b1_amd64.deb' acpid_1%3a2.0.33-2+b1_amd64.deb 45864 SHA256:…
func parseURIs(out []byte) map[string]deb {
	found := map[string]deb{}
	for _, m := range uriLine.FindAllSubmatch(out, -1) {
		name := string(m[2])
		found[name] = deb{name: name, file: string(m[1]), hash: string(m[3])}
	}
	return found
}

// aptDownload fetches packages into dir. As root, apt would drop to a user who
// may not write there.
func aptDownload(ctx context.Context, dir string, names []string) error {
	args := append([]string{"download", "-q", "-o", "APT::Sandbox::User=root"}, names...)
	if _, err := run(ctx, dir, "apt-get", args...); err != nil {
		return fmt.Errorf("cannot download Debian packages: %w\n"+
			"the lab guest still needs: %s (and the libraries they use)\n"+
			"build it once with the network up; after that the cache is used", err, strings.Join(names, " "))
	}
	return nil
}

func noLists(names []string, err error) error {
	return fmt.Errorf("apt does not know all packages of the lab guest (%s): %w\n"+
		"if the package lists are missing or old, run: sudo apt-get update", strings.Join(names, " "), err)
}

// aptStamp changes whenever the package lists do; empty if there are none.
func aptStamp() string {
	entries, err := os.ReadDir("/var/lib/apt/lists")
	if err != nil {
		return ""
	}
	var newest time.Time
	lists := 0
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !strings.Contains(e.Name(), "_Packages") {
			continue
		}
		lists++
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	if lists == 0 {
		return ""
	}
	return strconv.Itoa(lists) + "@" + newest.UTC().Format(time.RFC3339Nano)
}

// isLibrary says whether a package may hold shared libraries.
func isLibrary(name string) bool {
	return strings.HasPrefix(name, "lib") || strings.HasPrefix(name, "zlib")
}

// run runs a program in dir and returns its output; its last words are part of
// the error.
func run(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("%s is not installed; the lab guest is made from Debian packages, on Debian or Ubuntu", name)
	case err != nil:
		return nil, fmt.Errorf("%s %s: %w: %s", name, args[0], err, lastWords(stderr.String()))
	}
	return stdout.Bytes(), nil
}

// lastWords keeps the end of a program's complaint.
func lastWords(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.TrimSpace(l) == "" })
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}
