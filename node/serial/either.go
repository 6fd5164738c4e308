package serial

import (
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// either is the codec of a port whose settings let it speak basic mode,
// terminal mode or both: what a message begins with says which one it is in,
// and it is answered in that.
type either struct {
	on       mc.SerialSettings
	basic    basic
	terminal terminal
	last     Codec // the one that the console speaks
}

func newEither(m Mode) *either {
	c := new(either)
	c.Configure(m.defaults())
	c.last = &c.terminal
	if m == Basic {
		c.last = &c.basic
	}
	return c
}

// Configure implements Codec. What has begun in a mode that is off is nothing.
func (c *either) Configure(s mc.SerialSettings) {
	c.on = s
	c.terminal.Configure(s)
	if !s.Basic {
		c.basic = basic{}
	}
	if !s.Terminal {
		c.terminal.drop()
	}
}

// Next implements Codec.
func (c *either) Next(in []byte) (Event, []byte, bool) {
	for i, x := range in {
		if cur := c.current(x); cur != nil {
			c.last = cur
			if e, _, ok := cur.Next(in[i : i+1]); ok {
				return e, in[i+1:], true
			}
		}
	}
	return Event{}, nil, false
}

// current gives the codec that a character is for, nil for noise.
func (c *either) current(x byte) Codec {
	switch {
	case c.basic.started:
		return &c.basic
	case c.terminal.waits():
		return &c.terminal
	case x == basicStart && c.on.Basic:
		return &c.basic
	case x == terminalStart && c.on.Terminal:
		return &c.terminal
	}
	return nil
}

// AppendEcho implements Codec.
func (c *either) AppendEcho(b []byte) []byte { return c.terminal.AppendEcho(b) }

// AppendReceipt implements Codec.
func (c *either) AppendReceipt(b []byte, e Event) []byte { return c.last.AppendReceipt(b, e) }

// AppendFrame implements Codec.
func (c *either) AppendFrame(b []byte, f ipmb.Frame, bridged bool) ([]byte, error) {
	return c.last.AppendFrame(b, f, bridged)
}

// AppendText implements Codec.
func (c *either) AppendText(b []byte, text string, err error) []byte {
	return c.last.AppendText(b, text, err)
}

// AppendReady implements Codec.
func (c *either) AppendReady(b []byte) []byte { return c.last.AppendReady(b) }
