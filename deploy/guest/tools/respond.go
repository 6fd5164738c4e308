package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// runRespond is the verb respond: answers requests to this guest's software
// (LUN 2 of its controller) with completion code 0 and their own data.
func runRespond(ctx context.Context, args []string, out io.Writer) error {
	flags := newFlags("respond", "")
	netFn, cmd := byte(0x30), byte(0x01)
	byteFlag(flags, &netFn, "netfn", "netFn to answer")
	byteFlag(flags, &cmd, "cmd", "command to answer")
	count := flags.Int("count", 0, "stop after so many; 0 means never")
	limit := flags.Duration("for", 0, "stop after this time; 0 means never")
	if err := parseFlags(flags, args); err != nil {
		return err
	}
	dev, err := openDevice(devicePath)
	if err != nil {
		return err
	}
	defer dev.close()
	if err := dev.register(netFn, cmd); err != nil {
		return fmt.Errorf("register for %02x/%02x: %w", netFn, cmd, err)
	}
	fmt.Fprintf(out, "answering %02x/%02x\n", netFn, cmd)
	if *limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *limit)
		defer cancel()
	}
	return respond(ctx, dev, *count, out)
}

// respond answers until the count is reached or the context ends. Ending by
// time is a failure only if a count was asked for.
func respond(ctx context.Context, dev *device, count int, out io.Writer) error {
	for answered := 0; count == 0 || answered < count; {
		got, err := dev.next(ctx)
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			if count > 0 {
				return fmt.Errorf("answered %d of %d requests", answered, count)
			}
			return nil
		}
		if err != nil {
			return err
		}
		if got.kind != recvCommand {
			continue
		}
		fmt.Fprintf(out, "%s from %v: %02x/%02x [% x]\n", time.Now().UTC().Format(time.TimeOnly),
			got.addr, got.netFn, got.cmd, got.data)
		answer := message{netFn: got.netFn | 1, cmd: got.cmd, data: append([]byte{0}, got.data...)}
		if err := dev.send(got.addr, got.id, answer); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		answered++
	}
	return nil
}
