package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Who interrupts exec is told what becomes of the command; the node hears of it.
func TestExecInterrupted(t *testing.T) {
	s := newFakeShelf(t)
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan error, 1)
	s.node("blade1").exec = func(ctx context.Context, _ *v1.ExecRequest) (string, string, int32, int32, error) {
		cancel()
		<-ctx.Done()
		heard <- ctx.Err()
		return "", "", 0, 0, ctx.Err()
	}
	var out, said bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: &said}
	code := a.execute(ctx, []string{"exec", "blade1", "--", "sleep", "9"})
	if code != 125 || said.String() != "midplane: interrupted; sleep is to end in the guest, too\n" {
		t.Errorf("exit code %d, %q", code, said.String())
	}
	if err := <-heard; err != context.Canceled {
		t.Error(err)
	}
}
