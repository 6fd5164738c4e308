package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/midplane-project/midplane/internal/problem"
)

// pollEvery is how often a condition that tells nobody is looked at.
const pollEvery = 50 * time.Millisecond

// finalError is one that waiting does not cure.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

func final(err error) error { return finalError{err} }

// await calls try until it succeeds, fails for good, or limit has passed; then
// its last error tells what was still missing.
func await(ctx context.Context, limit time.Duration, try func(context.Context) error) error {
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		err := try(timed)
		var f finalError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &f):
			return f.error
		case last == nil || timed.Err() == nil: // else it is only the cut-off call's
			last = err
		}
		select {
		case <-timed.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &problem.Error{Code: problem.Timeout, What: fmt.Sprintf("not within %s", limit), Why: last}
		case <-time.After(pollEvery):
		}
	}
}

// tailLen is how much of a log's end is looked at, in bytes.
const tailLen = 4096

// lastLine is the last line of a log, or a word that there is none.
func lastLine(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "no log"
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(end-tailLen, 0), io.SeekStart)
	}
	data, _ := io.ReadAll(io.LimitReader(f, tailLen))
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return "the log is empty"
	}
	return string(bytes.TrimSpace(data[bytes.LastIndexByte(data, '\n')+1:]))
}
