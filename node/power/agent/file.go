package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// chunk is how much of a file goes into one request: long enough to carry the round trip,
// short enough that other callers get their turn soon.
const chunk = 64 << 10

// closeTimeout bounds the closing of a guest file whose copy was broken off.
const closeTimeout = 2 * time.Second

// CopyTo writes everything from r into the guest's file, which is created or truncated.
func (c *Client) CopyTo(ctx context.Context, r io.Reader, path string) error {
	return c.withFile(ctx, path, "w", func(handle int64) error {
		buf := make([]byte, chunk)
		for {
			n, err := io.ReadFull(r, buf)
			if n > 0 {
				if err := c.writeAll(ctx, handle, buf[:n]); err != nil {
					return err
				}
			}
			switch {
			case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
				return c.call(ctx, "guest-file-flush", handleOf(handle), nil)
			case err != nil:
				return fmt.Errorf("read what is to be copied: %w", err)
			}
		}
	})
}

// CopyFrom writes the guest's whole file into w.
func (c *Client) CopyFrom(ctx context.Context, path string, w io.Writer) error {
	return c.withFile(ctx, path, "r", func(handle int64) error {
		for {
			var got struct {
				Data []byte `json:"buf-b64"`
				EOF  bool   `json:"eof"`
			}
			ask := map[string]int64{"handle": handle, "count": chunk}
			if err := c.call(ctx, "guest-file-read", ask, &got); err != nil {
				return err
			}
			if _, err := w.Write(got.Data); err != nil {
				return fmt.Errorf("write what was copied: %w", err)
			}
			if got.EOF {
				return nil
			}
		}
	})
}

// withFile opens a guest file, uses it and closes it, also when ctx has ended meanwhile:
// an agent keeps a forgotten handle until it stops.
func (c *Client) withFile(ctx context.Context, path, mode string, use func(handle int64) error) error {
	var handle int64
	open := map[string]string{"path": path, "mode": mode}
	if err := c.call(ctx, "guest-file-open", open, &handle); err != nil {
		return fmt.Errorf("%s in the guest: %w", path, err)
	}
	err := use(handle)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := errors.Join(err, c.call(ctx, "guest-file-close", handleOf(handle), nil)); err != nil {
		return fmt.Errorf("%s in the guest: %w", path, err)
	}
	return nil
}

// writeAll writes p; the agent may take less than it was given.
func (c *Client) writeAll(ctx context.Context, handle int64, p []byte) error {
	for len(p) > 0 {
		var wrote struct {
			Count int `json:"count"`
		}
		ask := map[string]any{"handle": handle, "buf-b64": p}
		if err := c.call(ctx, "guest-file-write", ask, &wrote); err != nil {
			return err
		}
		if wrote.Count <= 0 || wrote.Count > len(p) {
			return fmt.Errorf("guest-file-write took %d of %d bytes", wrote.Count, len(p))
		}
		p = p[wrote.Count:]
	}
	return nil
}

func handleOf(handle int64) map[string]int64 { return map[string]int64{"handle": handle} }
