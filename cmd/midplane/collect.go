package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/internal/version"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// collectLimit is how much of one file is taken, from its end, in bytes.
const collectLimit = 8 << 20

// collectFiles are the files of a shelf's state that are taken. Certificates,
// keys and databases are not among them.
var collectFiles = []string{
	"shelf.yaml", "lab.json", "logs/*.log", "logs/*.log.1", "run/*.json",
	"replicas/*/shelf.json", "nodes/*/node.json", "compact.json", "nodes/*/console.log", "nodes/*/console.log.*",
}

func (a *app) collectVerb() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "collect -o FILE.tgz",
		Short: "Pack logs and states for a bug report, without secrets",
		Long: `Pack what helps to understand a shelf into one file: versions, configuration,
command lines, logs, consoles, event logs and how every daemon is. Keys,
certificates and databases are left out, and what looks like a password is
masked; look into the file before you give it away.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return problem.Usagef("say where to: midplane collect -o FILE.tgz")
			}
			l, err := a.lab()
			if err != nil {
				return err
			}
			var names []string
			err = replaceFile(file, func(w io.Writer) (err error) {
				names, err = collect(cmd.Context(), l, w)
				return err
			})
			if err == nil {
				fmt.Fprintf(a.out, "%s: %d files, keys and passwords left out\n", file, len(names))
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "the `FILE` to write")
	return cmd
}

// bundle is an archive that is being written.
type bundle struct {
	tar    *tar.Writer
	now    time.Time
	names  []string
	missed []string // what could not be had, and why
}

// collect writes the archive and gives the names of its files.
func collect(ctx context.Context, l *lab.Lab, w io.Writer) ([]string, error) {
	zip := gzip.NewWriter(w)
	b := &bundle{tar: tar.NewWriter(zip), now: time.Now()}
	err := errors.Join(b.about(), b.states(ctx, l), b.logs(ctx, l), b.files(l))
	if len(b.missed) > 0 {
		err = errors.Join(err, b.add("missed.txt", []byte(strings.Join(b.missed, "\n")+"\n")))
	}
	return b.names, errors.Join(err, b.tar.Close(), zip.Close())
}

// add writes one file, without what looks like a secret.
func (b *bundle) add(name string, data []byte) error {
	data = scrub(data)
	h := &tar.Header{Name: "midplane/" + name, Mode: 0o600, Size: int64(len(data)), ModTime: b.now, Format: tar.FormatPAX}
	if err := b.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	_, err := b.tar.Write(data)
	b.names = append(b.names, name)
	return err
}

// json adds a value, or notes why it could not be had.
func (b *bundle) json(name string, v any, err error) error {
	if err != nil {
		b.missed = append(b.missed, name+": "+explain(err))
		return nil
	}
	data, err := jsonfile.Marshal(v)
	if err != nil {
		return err
	}
	return b.add(name, data)
}

// about says which program and which machine.
func (b *bundle) about() error {
	var text bytes.Buffer
	fmt.Fprintf(&text, "midplane %s\n%s %s/%s, %d CPUs\ncollected %s\n",
		version.Get(), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), b.now.UTC().Format(time.RFC3339))
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		fmt.Fprintf(&text, "%s %s %s\n", unix.ByteSliceToString(u.Sysname[:]), unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Machine[:]))
	}
	return b.add("about.txt", text.Bytes())
}

// states adds how everything is.
func (b *bundle) states(ctx context.Context, l *lab.Lab) error {
	seen, err := lookAt(ctx, l)
	all := []error{b.json("ps.json", seen, err)}
	v, err := inspect(ctx, l, lab.Target{Shelf: true})
	all = append(all, b.json("inspect/shelf.json", v, err))
	for i := range l.Topology.Nodes {
		n := &l.Topology.Nodes[i]
		v, err := inspect(ctx, l, lab.Target{Addr: n.Addr(), Slot: n.Slot, Node: n, Name: n.Name})
		all = append(all, b.json("inspect/"+n.Name+".json", v, err))
	}
	return errors.Join(all...)
}

// logs adds the event log and all SELs.
func (b *bundle) logs(ctx context.Context, l *lab.Lab) error {
	rs, err := dialReplicas(l)
	if err != nil {
		return err
	}
	defer rs.close()
	events, err := rs.eventsAfter(ctx, &v1.ListEventsRequest{Shelf: l.Name})
	all := []error{b.json("events.json", events, err)}
	for i := range l.Topology.Nodes {
		n := &l.Topology.Nodes[i]
		log := openSEL(l, lab.Target{Addr: n.Addr(), Slot: n.Slot, Node: n, Name: n.Name})
		records, err := log.more(ctx)
		log.close()
		all = append(all, b.json("sel/"+n.Name+".json", records, err))
	}
	return errors.Join(all...)
}

// files adds configuration, logs and consoles.
func (b *bundle) files(l *lab.Lab) error {
	for _, pattern := range collectFiles {
		paths, err := filepath.Glob(filepath.Join(l.StateDir, pattern))
		if err != nil {
			return err
		}
		for _, p := range paths {
			if err := b.file(l, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bundle) file(l *lab.Lab, path string) error {
	name, err := filepath.Rel(l.StateDir, path)
	if err != nil {
		return err
	}
	data, err := readTail(path)
	if err != nil {
		b.missed = append(b.missed, name+": "+err.Error())
		return nil
	}
	return b.add("state/"+filepath.ToSlash(name), data)
}

// readTail reads the end of a file, from the start of a line.
func readTail(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(info.Size()-collectLimit, 0)
	data, err := io.ReadAll(io.NewSectionReader(f, from, collectLimit))
	if i := bytes.IndexByte(data, '\n'); from > 0 && i >= 0 {
		data = data[i+1:]
	}
	return data, err
}
