package lanclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// Clients ask four times, a second apart, as ipmitool does.
const (
	tries    = 4
	patience = time.Second
)

// ErrNoAnswer says that none came to any try.
var ErrNoAnswer = errors.New("lanclient: no answer")

// Conn is a connected datagram socket, such as a [net.UDPConn].
type Conn interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
	SetReadDeadline(time.Time) error
	Close() error
}

// Client has one session over a socket of its own. It belongs to one goroutine.
type Client struct {
	*Session
	conn    Conn
	buf     [maxDatagram]byte
	message []byte // the request under way
	out     []byte
}

// Dial logs in at HOST:PORT and takes the privilege that c asks for.
func Dial(ctx context.Context, addr string, c Credentials) (*Client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", addr)
	if err != nil {
		return nil, err
	}
	return Over(ctx, conn, c)
}

// Over is Dial over a socket that is connected, which the client closes.
func Over(ctx context.Context, conn Conn, c Credentials) (*Client, error) {
	cl := &Client{conn: conn}
	if err := cl.login(ctx, c, consoleID); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return cl, nil
}

const consoleID = 0x6D696470

func (c *Client) login(ctx context.Context, who Credentials, console uint32) error {
	l, err := NewLogin(who, console)
	if err != nil {
		return err
	}
	for next := l.First(); c.Session == nil; {
		send := func() []byte { return next }
		err := c.exchange(ctx, send, func(b []byte) (done bool, err error) {
			answer, s, err := l.Next(b)
			if answer == nil && s == nil {
				return false, err
			}
			next, c.Session = answer, s
			return true, err
		})
		if err != nil {
			return err
		}
	}
	if _, err := c.Do(ctx, ipmb.NetFnApp, cmdSetPrivilege, byte(l.c.Privilege)); err != nil {
		return fmt.Errorf("set session privilege: %w", err)
	}
	return nil
}

// Commands of sessions (IPMI 2.0 §22.18, §22.19).
const (
	cmdSetPrivilege ipmb.Cmd = 0x3B
	cmdCloseSession ipmb.Cmd = 0x3C
)

// exchange sends, again if need be, until take has what it waits for.
func (c *Client) exchange(ctx context.Context, send func() []byte, take func([]byte) (bool, error)) error {
	for range tries {
		if _, err := c.conn.Write(send()); err != nil {
			return err
		}
		deadline := time.Now().Add(patience)
		if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
			deadline = d
		}
		if err := c.conn.SetReadDeadline(deadline); err != nil {
			return err
		}
		done, err := c.await(take)
		if done || err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return ErrNoAnswer
}

// await reads until take has what it waits for, or the deadline is over.
func (c *Client) await(take func([]byte) (bool, error)) (done bool, err error) {
	for {
		n, err := c.conn.Read(c.buf[:])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if done, err = take(c.buf[:n]); done || err != nil {
			return done, err
		}
	}
}

// Do asks the controller. The data of the answer is valid until the next call;
// a completion code other than 00h is the error.
func (c *Client) Do(ctx context.Context, n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) ([]byte, error) {
	if err := c.request(n, cmd, data); err != nil {
		return nil, err
	}
	var r ipmb.Response
	err := c.exchange(ctx, c.again, func(b []byte) (ok bool, _ error) {
		f, err := c.Open(b)
		if err == nil && f.Seq == c.rqSeq && f.NetFn == n.Response() && f.Cmd == cmd && f.From == addrController {
			r, ok = f.Response()
		}
		return ok, nil
	})
	if err != nil {
		return nil, err
	}
	return r.Data, r.Err()
}

func (c *Client) request(n ipmb.NetFn, cmd ipmb.Cmd, data []byte) (err error) {
	c.message, err = c.AppendFrame(c.message[:0], n, cmd, data)
	return err
}

// again is the request under way, sealed anew.
func (c *Client) again() []byte {
	c.out = c.AppendSealed(c.out[:0], c.message)
	return c.out
}

// Bridge asks the controller at an address by a tracked Send Message on channel
// 0. Its answer may be in that of Send Message, or come after it.
func (c *Client) Bridge(ctx context.Context, to ipmb.Addr, n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) ([]byte, error) {
	inner := ipmb.RequestFrame(to, addrController, 0, c.rqSeq+1, &ipmb.Request{NetFn: n, Cmd: cmd, Data: data})
	raw, err := inner.AppendBinary([]byte{byte(ipmb.TrackRequest) << 6})
	if err != nil {
		return nil, err
	}
	if err := c.request(ipmb.NetFnApp, ipmb.CmdSendMessage, raw); err != nil {
		return nil, err
	}
	var r ipmb.Response
	err = c.exchange(ctx, c.again, func(b []byte) (ok bool, _ error) {
		f, err := c.Open(b)
		if err != nil {
			return false, nil
		}
		r, ok = c.bridged(f, inner)
		return ok, nil
	})
	if err != nil {
		return nil, err
	}
	return r.Data, r.Err()
}

// bridged takes from f the answer to what was asked through the bridge: inner's
// own, or that of a Send Message which failed.
func (c *Client) bridged(f, inner ipmb.Frame) (r ipmb.Response, ok bool) {
	if f.NetFn == ipmb.NetFnApp.Response() && f.Cmd == ipmb.CmdSendMessage && f.From == addrController && f.Seq == c.rqSeq {
		r, ok = f.Response()
		if !ok || r.Code != ipmb.OK || len(r.Data) == 0 {
			return r, ok && r.Code != ipmb.OK
		}
		if within, err := ipmb.ParseFrame(r.Data); err == nil {
			f = within
		}
	}
	if f.From != inner.To || f.NetFn != inner.NetFn.Response() || f.Cmd != inner.Cmd || f.Seq != inner.Seq&(ipmb.MaxSequence-1) {
		return r, false
	}
	return f.Response()
}

// Close logs out and closes the socket.
func (c *Client) Close(ctx context.Context) error { return errors.Join(c.logout(ctx), c.conn.Close()) }

func (c *Client) logout(ctx context.Context) error {
	_, err := c.Do(ctx, ipmb.NetFnApp, cmdCloseSession, word(c.id)...)
	return err
}
