package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
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

// typed asks for a password twice, without showing it.
func (a *app) typed(ctx context.Context, in *os.File, whose string) (string, error) {
	var both [2]string
	for i, words := range []string{"New password of " + whose + ": ", "Again: "} {
		fmt.Fprint(a.err, words)
		b, err := hidden(ctx, int(in.Fd()))
		fmt.Fprintln(a.err)
		switch {
		case ctx.Err() != nil:
			return "", &problem.Error{Code: problem.Failed, What: "interrupted; nothing was changed"}
		case err != nil:
			return "", err
		}
		both[i] = string(b)
	}
	switch {
	case both[0] != both[1]:
		return "", problem.Usagef("the two differ; nothing was changed")
	case both[0] == "":
		return "", problem.Usagef("an empty password lets nobody in; nothing was changed")
	}
	return both[0], nil
}

// hidden reads a line that is not shown. Who interrupts gets his terminal back
// as it was; the read itself, which nothing ends, ends with the process.
func hidden(ctx context.Context, fd int) ([]byte, error) {
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	var line []byte
	done := make(chan error, 1)
	go func() {
		b, err := term.ReadPassword(fd)
		line = b
		done <- err
	}()
	select {
	case err := <-done:
		return line, err
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), term.Restore(fd, before))
	}
}

// showSecret shows a password that was made up.
func (a *app) showSecret(f secretFlags, whose, password string) {
	if f.generate {
		fmt.Fprintf(a.err, "password of %s: %s (shown this once)\n", whose, password)
	}
}
