package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/internal/problem"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// cpChunk is how much of a file travels in one message, in bytes.
const cpChunk = 48 << 10

func (a *app) cpVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "cp SRC DST",
		Short: "Copy a file into a guest or out of it",
		Long: `Copy a file through the QEMU guest agent. One of SRC and DST is TARGET:PATH in
a guest, the other a path here, or - for standard input or output. A path here
that has a colon is written with a slash: ./a:b.`,
		Example: `  midplane cp blade1:/var/log/messages .
  midplane cp probe.sh blade1:/tmp/`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, src, in := guestPath(args[0])
			to, dst, out := guestPath(args[1])
			switch {
			case in && !out:
				return a.withNode(from, func(d daemon) error { return a.download(cmd.Context(), d, src, args[1]) })
			case out && !in:
				return a.withNode(to, func(d daemon) error { return a.upload(cmd.Context(), d, args[0], dst) })
			}
			return problem.Usagef("one of %s and %s must be TARGET:PATH, such as blade1:/tmp/file", args[0], args[1])
		},
	}
}

// guestPath splits TARGET:PATH.
func guestPath(s string) (target, path string, ok bool) {
	target, path, ok = strings.Cut(s, ":")
	if !ok || target == "" || path == "" || strings.ContainsRune(target, '/') {
		return "", "", false
	}
	return target, path, true
}

// download copies a guest's file to a path here. What is there is replaced
// only by a whole file.
func (a *app) download(ctx context.Context, d daemon, src, dst string) error {
	if dst == "-" {
		return receive(ctx, d, src, a.out)
	}
	if info, err := os.Stat(dst); err == nil && info.IsDir() {
		dst = filepath.Join(dst, path.Base(src))
	}
	return replaceFile(dst, func(w io.Writer) error { return receive(ctx, d, src, w) })
}

// replaceFile writes a file as a whole or not at all; nobody else can read it.
func replaceFile(dst string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(dst), "."+filepath.Base(dst)+"-*")
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err // its path is a name that nobody chose
	}
	if err != nil {
		return &problem.Error{Code: problem.Failed, What: "cannot write " + dst, Why: err}
	}
	err = errors.Join(write(f), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), dst)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func receive(ctx context.Context, d daemon, src string, w io.Writer) error {
	stream, err := d.node().CopyFrom(ctx, &v1.CopyFromRequest{Path: src})
	if err != nil {
		return d.explain(err)
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return d.explain(err)
		}
		if _, err := w.Write(m.Data); err != nil {
			return err
		}
	}
}

// upload copies a file from here, with its mode; standard input gets 0644.
func (a *app) upload(ctx context.Context, d daemon, src, dst string) error {
	in, mode := a.in, os.FileMode(0o644)
	if src != "-" {
		f, err := os.Open(src)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if info.IsDir() {
			return problem.Usagef("%s is a directory: cp copies one file", src)
		}
		in, mode = f, info.Mode()
		if strings.HasSuffix(dst, "/") {
			dst += filepath.Base(src)
		}
	}
	return send(ctx, d, in, &v1.CopyToRequest{Path: dst, Mode: uint32(mode.Perm())})
}

func send(ctx context.Context, d daemon, in io.Reader, first *v1.CopyToRequest) error {
	stream, err := d.node().CopyTo(ctx)
	if err != nil {
		return d.explain(err)
	}
	m, buf := first, make([]byte, cpChunk)
	for {
		n, err := io.ReadFull(in, buf)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("read: %w", err) // the unfinished stream ends with the connection
		}
		m.Data = buf[:n]
		if sent := stream.Send(m); sent != nil {
			break // the reason comes with CloseAndRecv
		}
		if err != nil {
			break
		}
		m = &v1.CopyToRequest{}
	}
	_, err = stream.CloseAndRecv()
	return d.explain(err)
}
