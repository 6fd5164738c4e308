package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
)

// newFlags makes a verb's flag set; mistakes come back as usageError.
func newFlags(verb, positional string) *flag.FlagSet {
	flags := flag.NewFlagSet(verb, flag.ContinueOnError)
	flags.SetOutput(os.Stderr)
	flags.Usage = func() {
		fmt.Fprintf(os.Stderr, "usage: midplane-guest %s [FLAGS] %s\n", verb, positional)
		flags.PrintDefaults()
	}
	return flags
}

func parseFlags(flags *flag.FlagSet, args []string) error {
	err := flags.Parse(args)
	if err != nil && err != flag.ErrHelp {
		return usageError{err}
	}
	return err
}

// byteFlag is a flag for one byte, decimal or 0x.
func byteFlag(flags *flag.FlagSet, value *byte, name, about string) {
	flags.Func(name, fmt.Sprintf("%s (default 0x%02x)", about, *value), func(text string) error {
		b, err := parseByte(text)
		*value = b
		return err
	})
}

func parseByte(text string) (byte, error) {
	n, err := strconv.ParseUint(text, 0, 8)
	if err != nil {
		return 0, fmt.Errorf("%q is not a byte (0 to 255, or 0x00 to 0xff)", text)
	}
	return byte(n), nil
}

// parseRequest reads NETFN CMD [DATA...].
func parseRequest(args []string) (message, error) {
	if len(args) < 2 {
		return message{}, usageError{fmt.Errorf("want NETFN CMD [DATA...], got %d bytes", len(args))}
	}
	bytes := make([]byte, len(args))
	for i, arg := range args {
		b, err := parseByte(arg)
		if err != nil {
			return message{}, usageError{err}
		}
		bytes[i] = b
	}
	if bytes[0] > 0x3f || bytes[0]&1 != 0 {
		return message{}, usageError{fmt.Errorf("netFn 0x%02x is not a request's: even, at most 0x3e", bytes[0])}
	}
	return message{netFn: bytes[0], cmd: bytes[1], data: bytes[2:]}, nil
}
