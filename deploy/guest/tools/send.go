package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// runSend is the verb send: one request over IPMB.
func runSend(ctx context.Context, args []string, out io.Writer) error {
	flags := newFlags("send", "NETFN CMD [DATA...]")
	target, lun := byte(0x20), byte(0)
	byteFlag(flags, &target, "target", "IPMB address of the other controller")
	byteFlag(flags, &lun, "lun", "its LUN; 2 is its guest's software")
	timeout := flags.Duration("timeout", 30*time.Second, "how long to wait for the driver's verdict")
	if err := parseFlags(flags, args); err != nil {
		return err
	}
	return exchange(ctx, ipmbAddress(target, lun), flags.Args(), *timeout, out)
}

// runRaw is the verb raw: one request to the local BMC.
func runRaw(ctx context.Context, args []string, out io.Writer) error {
	flags := newFlags("raw", "NETFN CMD [DATA...]")
	lun := byte(0)
	byteFlag(flags, &lun, "lun", "the BMC's LUN")
	timeout := flags.Duration("timeout", 30*time.Second, "how long to wait for the driver's verdict")
	if err := parseFlags(flags, args); err != nil {
		return err
	}
	return exchange(ctx, localAddress(lun), flags.Args(), *timeout, out)
}

// exchange sends one request and prints "cc XX: DATA".
func exchange(ctx context.Context, to address, args []string, timeout time.Duration, out io.Writer) error {
	request, err := parseRequest(args)
	if err != nil {
		return err
	}
	dev, err := openDevice(devicePath)
	if err != nil {
		return err
	}
	defer dev.close()
	if err := dev.send(to, 1, request); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		got, err := dev.next(ctx)
		if err != nil {
			return fmt.Errorf("waiting for the answer: %w", err)
		}
		if got.kind != recvResponse || got.id != 1 {
			continue
		}
		return printResponse(out, got.message)
	}
}

func printResponse(out io.Writer, m message) error {
	if len(m.data) == 0 {
		return fmt.Errorf("the answer has no completion code")
	}
	fmt.Fprintf(out, "cc %02x:", m.data[0])
	for _, b := range m.data[1:] {
		fmt.Fprintf(out, " %02x", b)
	}
	fmt.Fprintln(out)
	if m.data[0] != 0 {
		return errFailed
	}
	return nil
}
