package vm

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// briskPair is a quickened connection and its peer.
func briskPair(t *testing.T, network, addr string) (*brisk, net.Conn) {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peer, err := net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); peer.Close() })
	for _, c := range []net.Conn{conn, peer} {
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	b, ok := quicken(conn).(*brisk)
	if !ok {
		t.Fatal("a socket is not quickened")
	}
	return b, peer
}

// eachSocket runs f over TCP and over a Unix socket, each with a VM that has
// asked slowly so far and with one that has asked fast.
func eachSocket(t *testing.T, f func(t *testing.T, b *brisk, peer net.Conn)) {
	for network, addr := range map[string]string{"tcp": "127.0.0.1:0", "unix": t.TempDir() + "/s"} {
		for name, run := range map[string]int{"slow": 0, "fast": briskRun} {
			t.Run(network+" "+name, func(t *testing.T) {
				b, peer := briskPair(t, network, addr)
				b.run = run
				f(t, b, peer)
			})
		}
	}
}

func TestBriskReads(t *testing.T) {
	eachSocket(t, func(t *testing.T, b *brisk, peer net.Conn) {
		buf := make([]byte, 8)
		for _, want := range []string{"a", "bc", "def"} {
			go func() { _, _ = peer.Write([]byte(want)) }()
			if _, err := io.ReadFull(b, buf[:len(want)]); err != nil || string(buf[:len(want)]) != want {
				t.Errorf("read %q, %v; want %q", buf[:len(want)], err, want)
			}
		}
		peer.Close()
		if n, err := b.Read(buf); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %d, %v", n, err)
		}
	})
}

// What interrupts a read of the connection interrupts this one.
func TestBriskReadEnds(t *testing.T) {
	eachSocket(t, func(t *testing.T, b *brisk, _ net.Conn) {
		if err := b.conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Read(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("at the deadline: %v", err)
		}
		b.conn.Close()
		if _, err := b.Read(make([]byte, 8)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

// A run of fast requests is what it takes, and one slow one ends it.
func TestBriskRun(t *testing.T) {
	b, peer := briskPair(t, "unix", t.TempDir()+"/s")
	buf := make([]byte, 1)
	b.gap = time.Hour // on this machine everything is fast
	for range briskRun {
		_, _ = peer.Write([]byte{1})
		if _, err := b.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	if b.run != briskRun {
		t.Fatalf("a run of %d", b.run)
	}
	b.gap = briskGap
	if _, _, ok := b.look(buf, time.Now()); ok {
		t.Error("something came from nobody")
	}
	for deadline := time.Now().Add(30 * time.Second); b.run != 0; { // where this goroutine is the slow one, once more
		time.AfterFunc(10*briskGap, func() { _, _ = peer.Write([]byte{2}) })
		if _, err := b.Read(buf); err != nil || buf[0] != 2 || time.Now().After(deadline) {
			t.Fatalf("read %x, %v, run %d", buf, err, b.run)
		}
	}
}

// A write that is longer than the socket's buffers waits for its reader.
func TestBriskWrites(t *testing.T) {
	eachSocket(t, func(t *testing.T, b *brisk, peer net.Conn) {
		long := bytes.Repeat([]byte("midplane"), 1<<18)
		wrote := make(chan error)
		go func() {
			_, err := b.Write(long)
			wrote <- err
		}()
		got := make([]byte, len(long))
		if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, long) {
			t.Errorf("read: %v, alike %v", err, bytes.Equal(got, long))
		}
		if err := <-wrote; err != nil {
			t.Error(err)
		}
		peer.Close()
		var err error
		for range 100 { // TCP learns of it with the first one
			if _, err = b.Write(long[:8]); err != nil {
				break
			}
		}
		if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("to a peer that has gone: %v", err)
		}
	})
}

func TestQuickenLeavesOthers(t *testing.T) {
	a, z := net.Pipe()
	defer a.Close()
	defer z.Close()
	if quicken(a) != io.ReadWriter(a) {
		t.Error("a pipe is not left as it is")
	}
}
