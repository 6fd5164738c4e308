package port

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// troubled is a listener that fails with each of its errors before it accepts.
type troubled struct {
	net.Listener
	errs []error
}

func (l *troubled) Accept() (net.Conn, error) {
	if len(l.errs) == 0 {
		conn, _ := net.Pipe()
		return conn, nil
	}
	err := l.errs[0]
	l.errs = l.errs[1:]
	return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
}

func TestAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		conn, err := Accept(t.Context(), &troubled{errs: []error{syscall.EMFILE, syscall.ENFILE}})
		if err != nil || time.Since(began) != 2*acceptAgain {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
		_ = conn.Close()
		if _, err := Accept(t.Context(), &troubled{errs: []error{syscall.EMFILE, syscall.EINVAL}}); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("what does not pass: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), acceptAgain/2)
		defer cancel()
		if _, err := Accept(ctx, &troubled{errs: []error{syscall.EMFILE}}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("in the end: %v", err)
		}
	})
}
