package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// fakeDriver answers every request at once, as code says; nil loses it.
type fakeDriver struct {
	code    func(id int64) []byte
	room    int
	queue   []received
	records [][]byte
	most    int
}

func (f *fakeDriver) send(to address, id int64, m message) error {
	if len(f.queue) >= f.room {
		return unix.EAGAIN
	}
	if m.cmd == 0x44 {
		f.records = append(f.records, m.data)
	}
	if data := f.code(id); data != nil {
		f.queue = append(f.queue, received{kind: recvResponse, id: id, message: message{data: data}})
	}
	f.most = max(f.most, len(f.queue))
	return nil
}

func (f *fakeDriver) receive() (received, error) {
	if len(f.queue) == 0 {
		return received{}, unix.EAGAIN
	}
	got := f.queue[0]
	f.queue = f.queue[1:]
	return got, nil
}

func (f *fakeDriver) wait(limit time.Duration) error {
	if len(f.queue) == 0 {
		time.Sleep(limit)
	}
	return nil
}

func ok(int64) []byte { return []byte{0} }

func runFake(t *testing.T, flags string, dev *fakeDriver) (*tally, string) {
	t.Helper()
	opts, err := parseLoop(strings.Fields(flags))
	if err != nil {
		t.Fatal(err)
	}
	l := newLoop(opts, dev)
	var out bytes.Buffer
	if err := l.run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	return l.tally, out.String()
}

func TestLoopCounts(t *testing.T) {
	dev := &fakeDriver{code: ok, room: 100}
	got, _ := runFake(t, "--count 101 --mix both --inflight 7 --tag 0x1", dev)
	if got.Sent != 101 || got.OK != 101 || got.Writes != 50 || got.Failed+got.Lost != 0 {
		t.Errorf("%+v", got)
	}
	if dev.most != 7 {
		t.Errorf("%d outstanding, want 7", dev.most)
	}
	for i, record := range dev.records {
		if !bytes.Equal(record, selRecord(1, uint32(i+1))) {
			t.Errorf("record %d: % x", i, record)
		}
	}
}

func TestLoopFullDriver(t *testing.T) {
	dev := &fakeDriver{code: ok, room: 2}
	got, _ := runFake(t, "--count 50 --mix write --inflight 16", dev)
	if got.OK != 50 || got.Writes != 50 || len(dev.records) != 50 {
		t.Errorf("%+v, %d records", got, len(dev.records))
	}
}

func TestLoopFailures(t *testing.T) {
	code := func(id int64) []byte {
		switch id {
		case 1:
			return []byte{0xc3}
		case 2:
			return []byte{0xc4}
		case 3:
			return []byte{}
		}
		return []byte{0}
	}
	got, _ := runFake(t, "--count 5 --mix write --inflight 1", &fakeDriver{code: code, room: 1})
	if got.OK != 2 || got.Failed != 3 || got.Codes["0xc3"] != 1 || got.Codes["0xc4"] != 1 || got.Codes["none"] != 1 {
		t.Errorf("%+v", got)
	}
	if len(got.Unsure) != 2 || got.Unsure[0] != 2 || got.Unsure[1] != 4 {
		t.Errorf("unsure: %v, want the serials of c3 and of no code", got.Unsure)
	}
}

func TestLoopLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lose := func(id int64) []byte {
			if id == 4 {
				return nil
			}
			return []byte{0}
		}
		start := time.Now()
		got, _ := runFake(t, "--count 10 --mix write --drain 20s", &fakeDriver{code: lose, room: 100})
		if got.OK != 9 || got.Lost != 1 || len(got.Unsure) != 1 || got.Unsure[0] != 5 {
			t.Errorf("%+v", got)
		}
		if waited := time.Since(start); waited < 20*time.Second || waited > 21*time.Second {
			t.Errorf("gave up after %v", waited)
		}
	})
}

func TestLoopTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// An answer takes as long as the fake's wait.
		dev := &slowDriver{fakeDriver{code: ok, room: 100}}
		opts, err := parseLoop(strings.Fields("--for 3s --progress"))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		l := newLoop(opts, dev)
		if err := l.run(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		if l.tally.Seconds < 3 || l.tally.Seconds > 3.2 || l.tally.Failed+l.tally.Lost != 0 {
			t.Errorf("%+v", l.tally)
		}
		if n := strings.Count(out.String(), " s: sent "); n != 2 && n != 3 {
			t.Errorf("%d progress lines:\n%s", n, out.String())
		}
	})
}

func TestLoopStopsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	opts, err := parseLoop([]string{"--for", "1h"})
	if err != nil {
		t.Fatal(err)
	}
	if err := newLoop(opts, &fakeDriver{code: ok, room: 100}).run(ctx, &bytes.Buffer{}); err != nil {
		t.Error(err)
	}
}

// slowDriver makes every wait take its time.
type slowDriver struct{ fakeDriver }

func (s *slowDriver) wait(limit time.Duration) error {
	time.Sleep(limit)
	return nil
}
