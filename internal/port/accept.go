package port

import (
	"context"
	"errors"
	"net"
	"time"
)

// acceptAgain is how long a listener rests that could not accept a connection.
const acceptAgain = 20 * time.Millisecond

// Accept takes the next connection of ln. It waits out what passes, such as the
// want of file descriptors: an error says that ln or ctx has ended.
func Accept(ctx context.Context, ln net.Listener) (net.Conn, error) {
	for {
		conn, err := ln.Accept()
		if err == nil || ctx.Err() != nil || !passes(err) {
			return conn, err
		}
		select {
		case <-time.After(acceptAgain):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// passes reports whether an error is gone after a while. Package net says so of
// those that it knows.
func passes(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}
