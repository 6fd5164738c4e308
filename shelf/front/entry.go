package front

import (
	"context"
	"net"
	"sync"

	"github.com/midplane-project/midplane/internal/port"
)

// Entry is a replica's Unix socket for a front.
type Entry struct {
	passage
	listener net.Listener
	group    sync.WaitGroup

	streams sync.Mutex
	newest  *stream // of the front: one that is started again takes the place of its predecessor
	leading uint64
	closed  bool
}

// ListenEntry opens the socket, which only this user may connect to.
func ListenEntry(path string) (*Entry, error) {
	l, err := port.ListenUnix(path, 0o600, "")
	if err != nil {
		return nil, err
	}
	return newEntry(l), nil
}

func newEntry(l net.Listener) *Entry {
	e := &Entry{listener: l}
	e.way = e
	e.group.Go(e.accept)
	return e
}

func (e *Entry) accept() {
	for {
		conn, err := port.Accept(context.Background(), e.listener) // Close ends it
		if err != nil {
			return
		}
		s := newStream(conn)
		if !e.welcome(s) {
			s.close()
			return
		}
		e.group.Go(func() {
			_ = s.run(func(f frame) { // that it ended, the next one tells
				if f.kind == kindDatagram || f.kind == kindStep {
					e.take(f.datagram)
				}
			})
		})
	}
}

// welcome makes a stream the front's, and tells it who leads.
func (e *Entry) welcome(s *stream) bool {
	e.streams.Lock()
	defer e.streams.Unlock()
	if e.closed {
		return false
	}
	if e.newest != nil {
		e.newest.close()
	}
	e.newest = s
	return s.post(appendLeading(nil, e.leading))
}

func (e *Entry) leads(term uint64) {
	e.streams.Lock()
	defer e.streams.Unlock()
	e.leading = term
	if e.newest != nil && !e.newest.post(appendLeading(nil, term)) {
		e.newest.close() // it connects again, and is told
	}
}

func (e *Entry) write(d datagram) error {
	e.streams.Lock()
	s := e.newest
	e.streams.Unlock()
	if s != nil {
		s.post(appendDatagram(nil, d)) // or it is lost, as on a network
	}
	return nil
}

// Close ends the socket and its streams.
func (e *Entry) Close() error {
	err := e.listener.Close()
	e.streams.Lock()
	e.closed = true
	if e.newest != nil {
		e.newest.close()
	}
	e.streams.Unlock()
	e.group.Wait()
	return err
}
