package port

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"
)

// lobby bounds how many strangers are in a handshake at a time. When it is
// full, newcomers wait; one that has been inside for longer than patience is
// then shown out, so that idle connections cannot keep others from coming in.
type lobby struct {
	room     chan struct{}
	patience time.Duration

	mu     sync.Mutex
	inside []*visitor // oldest first
}

type visitor struct {
	conn  net.Conn
	since time.Time
}

func newLobby(size int, patience time.Duration) *lobby {
	return &lobby{room: make(chan struct{}, size), patience: patience}
}

// enter waits for room. The caller calls leave when the handshake is over.
func (l *lobby) enter(ctx context.Context, conn net.Conn) (leave func(), err error) {
	select {
	case l.room <- struct{}{}:
		return l.add(conn), nil
	default:
	}
	timer := time.NewTimer(l.wait())
	defer timer.Stop()
	expired := timer.C
	for {
		select {
		case l.room <- struct{}{}:
			return l.add(conn), nil
		case <-expired:
			l.showOut()
			expired = nil // its place is free in a moment
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (l *lobby) add(conn net.Conn) (leave func()) {
	v := &visitor{conn: conn, since: time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inside = append(l.inside, v)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.inside = slices.DeleteFunc(l.inside, func(other *visitor) bool { return other == v })
		<-l.room
	}
}

// wait is how long the oldest visitor may still stay.
func (l *lobby) wait() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.inside) == 0 {
		return l.patience
	}
	return time.Until(l.inside[0].since.Add(l.patience))
}

// showOut ends the oldest handshake by closing its connection.
func (l *lobby) showOut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.inside) > 0 {
		_ = l.inside[0].conn.Close()
	}
}
