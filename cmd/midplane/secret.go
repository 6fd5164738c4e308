package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/node"
)

// secretFlags say where a password comes from. It is never an argument, which
// everybody on the machine could read.
type secretFlags struct{ generate bool }

func (f *secretFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&f.generate, "generate", "g", false, "make a password up and show it once")
}

// secret makes a password up, has it typed, or reads a line of standard input.
func (a *app) secret(ctx context.Context, f secretFlags, whose string) (string, error) {
	if f.generate {
		return node.RandomPassword(), nil
	}
	if in, ok := a.in.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		return a.typed(ctx, in, whose)
	}
	line, err := bufio.NewReader(io.LimitReader(a.in, maxSecretLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	password := strings.TrimRight(line, "\r\n")
	if password == "" {
		return "", problem.Usagef("a password is wanted on standard input, or --generate")
	}
	return password, nil
}

const maxSecretLine = 1024

// typed asks for a password twice, without showing it: from before the first
// prompt until the second answer. What was typed before that was shown, and is
// not the password.
func (a *app) typed(ctx context.Context, in *os.File, whose string) (_ string, err error) {
	shown, err := hide(int(in.Fd()))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, shown()) }()
	var both [2]string
	for i, words := range []string{"New password of " + whose + ": ", "Again: "} {
		fmt.Fprint(a.err, words)
		both[i], err = readLine(ctx, in)
		fmt.Fprintln(a.err)
		switch {
		case ctx.Err() != nil:
			return "", &problem.Error{Code: problem.Failed, What: "interrupted; nothing was changed"}
		case errors.Is(err, io.EOF):
			return "", &problem.Error{Code: problem.Failed, What: "no password was typed; nothing was changed"}
		case err != nil:
			return "", err
		}
	}
	switch {
	case both[0] != both[1]:
		return "", problem.Usagef("the two differ; nothing was changed")
	case both[0] == "":
		return "", problem.Usagef("an empty password lets nobody in; nothing was changed")
	}
	return both[0], nil
}

// hide ends the echo of a terminal and forgets what was typed and not read yet.
// What it gives makes the terminal as it was.
func hide(fd int) (shown func() error, err error) {
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	hidden := *before
	hidden.Lflag = hidden.Lflag&^(unix.ECHO|unix.ECHONL) | unix.ICANON | unix.ISIG
	hidden.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, unix.TCSETSF, &hidden); err != nil {
		return nil, err
	}
	return func() error { return unix.IoctlSetTermios(fd, unix.TCSETS, before) }, nil
}

// readLine reads a line that is typed; io.EOF says that Ctrl-D came before its
// end. The read of who interrupts ends with the process: nothing else ends it.
func readLine(ctx context.Context, in *os.File) (string, error) {
	type typed struct {
		line string
		err  error
	}
	done := make(chan typed, 1)
	go func() {
		var line []byte
		for buf := make([]byte, maxSecretLine); ; {
			n, err := in.Read(buf) // of one line at most: the terminal's own doing
			line = append(line, buf[:n]...)
			if text, whole := bytes.CutSuffix(line, []byte("\n")); whole || err != nil {
				done <- typed{string(text), err}
				return
			}
		}
	}()
	select {
	case t := <-done:
		return t.line, t.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// showSecret shows a password that was made up.
func (a *app) showSecret(f secretFlags, whose, password string) {
	if f.generate {
		fmt.Fprintf(a.err, "password of %s: %s (shown this once)\n", whose, password)
	}
}
