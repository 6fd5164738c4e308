package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"
)

// loopOptions say what the verb loop sends.
type loopOptions struct {
	target   byte
	local    bool
	mix      string
	inflight int
	count    int64
	duration time.Duration
	drain    time.Duration
	tag      uint32
	progress bool
}

// runLoop is the verb loop: it keeps requests outstanding and fails if any of
// them fails or stays without an answer.
func runLoop(ctx context.Context, args []string, out io.Writer) error {
	opts, err := parseLoop(args)
	if err != nil {
		return err
	}
	dev, err := openDevice(devicePath)
	if err != nil {
		return err
	}
	defer dev.close()
	l := newLoop(opts, dev)
	if err := l.run(ctx, out); err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(l.tally); err != nil {
		return err
	}
	if l.tally.Failed+l.tally.Lost > 0 {
		return errFailed
	}
	return nil
}

func parseLoop(args []string) (loopOptions, error) {
	flags := newFlags("loop", "")
	opts := loopOptions{target: 0x20}
	byteFlag(flags, &opts.target, "target", "IPMB address to send to")
	flags.BoolVar(&opts.local, "local", false, "send to the local BMC instead")
	flags.StringVar(&opts.mix, "mix", "read", "read (Get Device ID), write (Add SEL Entry) or both in turn")
	flags.IntVar(&opts.inflight, "inflight", 16, "requests outstanding at once, 1 to 64")
	flags.Int64Var(&opts.count, "count", 0, "stop after so many requests")
	flags.DurationVar(&opts.duration, "for", 0, "stop after this time (5s if there is no count either)")
	flags.DurationVar(&opts.drain, "drain", 30*time.Second, "how long to wait for the last answers")
	flags.BoolVar(&opts.progress, "progress", false, "a line every second")
	flags.Func("tag", "run number put into each SEL record, as 0x12345678 (default random)", func(text string) error {
		_, err := fmt.Sscanf(text, "0x%x", &opts.tag)
		return err
	})
	if err := parseFlags(flags, args); err != nil {
		return opts, err
	}
	switch {
	case flags.NArg() > 0:
		return opts, usageError{fmt.Errorf("unexpected %q", flags.Arg(0))}
	case opts.mix != "read" && opts.mix != "write" && opts.mix != "both":
		return opts, usageError{fmt.Errorf("--mix %s: want read, write or both", opts.mix)}
	case opts.inflight < 1 || opts.inflight > 64:
		return opts, usageError{fmt.Errorf("--inflight %d: want 1 to 64, IPMB has no more sequence numbers", opts.inflight)}
	}
	if opts.count == 0 && opts.duration == 0 {
		opts.duration = 5 * time.Second
	}
	if opts.tag == 0 {
		opts.tag = rand.Uint32()
	}
	return opts, nil
}

// pending is a request without an answer yet.
type pending struct {
	at     time.Time
	serial uint32 // of a write, from 1; 0 for a read
}

// driver is what the loop needs of a device.
type driver interface {
	send(to address, id int64, m message) error
	receive() (received, error)
	wait(limit time.Duration) error
}

// loop is one run. It is a single thread: send while there is room, then wait
// for an answer.
type loop struct {
	opts    loopOptions
	dev     driver
	to      address
	waiting map[int64]pending
	tally   *tally
	next    int64
}

func newLoop(opts loopOptions, dev driver) *loop {
	to := ipmbAddress(opts.target, 0)
	if opts.local {
		to = localAddress(0)
	}
	return &loop{opts: opts, dev: dev, to: to, waiting: map[int64]pending{}, tally: newTally(opts)}
}

// run sends and collects until the limits are reached, then waits for what is
// still outstanding.
func (l *loop) run(ctx context.Context, out io.Writer) error {
	start := time.Now()
	deadline := start.Add(l.opts.duration)
	report := start.Add(time.Second)
	sending := true
	for sending || len(l.waiting) > 0 {
		now := time.Now()
		if sending && l.finished(ctx, now, deadline) {
			sending = false
			l.tally.stop(now.Sub(start))
			deadline = now.Add(l.opts.drain)
		}
		if !sending && now.After(deadline) {
			break
		}
		if l.opts.progress && now.After(report) {
			fmt.Fprintf(out, "%3.0f s: %s\n", now.Sub(start).Seconds(), l.tally)
			report = report.Add(time.Second)
		}
		if sending {
			if err := l.fill(); err != nil {
				return err
			}
		}
		if err := l.collect(); err != nil {
			return err
		}
	}
	l.tally.Lost = int64(len(l.waiting))
	for _, p := range l.waiting {
		l.tally.unsure(p.serial)
	}
	return nil
}

func (l *loop) finished(ctx context.Context, now, deadline time.Time) bool {
	if l.opts.count > 0 && l.tally.Sent >= l.opts.count {
		return true
	}
	return ctx.Err() != nil || (l.opts.duration > 0 && now.After(deadline))
}

// fill sends until enough is outstanding or the driver has no room.
func (l *loop) fill() error {
	for len(l.waiting) < l.opts.inflight && (l.opts.count == 0 || l.tally.Sent < l.opts.count) {
		request, serial := l.request()
		err := l.dev.send(l.to, l.next, request)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EBUSY) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
		l.waiting[l.next] = pending{at: time.Now(), serial: serial}
		l.tally.sent(serial)
		l.next++
	}
	return nil
}

// request makes the next request of the mix.
func (l *loop) request() (message, uint32) {
	if l.opts.mix == "write" || (l.opts.mix == "both" && l.next%2 == 1) {
		serial := uint32(l.tally.Writes + 1)
		return message{netFn: 0x0a, cmd: 0x44, data: selRecord(l.opts.tag, serial)}, serial
	}
	return message{netFn: 0x06, cmd: 0x01}, 0
}

// collect takes every answer that is there, waiting a little for the first.
func (l *loop) collect() error {
	const patience = 50 * time.Millisecond
	if err := l.dev.wait(patience); err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	for {
		got, err := l.dev.receive()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		if p, ok := l.waiting[got.id]; ok && got.kind == recvResponse {
			delete(l.waiting, got.id)
			l.tally.answered(got.message, p.serial, time.Since(p.at))
		}
	}
}

// selRecord is an OEM record without timestamp, so that a checker can count
// each one in the log (IPMI 2.0 table 32-3):
//
//	00 00  E0  'M' 'P'  tag (4, high byte first)  serial (4, the same)  00 00 00
func selRecord(tag, serial uint32) []byte {
	record := make([]byte, 0, 16)
	record = append(record, 0, 0, 0xe0, 'M', 'P')
	record = binary.BigEndian.AppendUint32(record, tag)
	record = binary.BigEndian.AppendUint32(record, serial)
	return append(record, 0, 0, 0)
}
