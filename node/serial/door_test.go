package serial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

func TestLineAsks(t *testing.T) {
	for mode, want := range map[Mode]struct{ ask, answer string }{
		Terminal: {"[180c01]\r\n", "[1C 0C 01 00 20]\r\n"},
		Basic:    {"\xa0\x20\x18\xc8\x81\x0c\x01\x72\xa5", "\xa6\xa0\x81\x1c\x63\x20\x0c\x01\x00\x20\xb3\xa5"},
		Direct:   {"\xa0\x20\x18\xc8\x81\x0c\x01\x72\xa5", "\xa6\xa0\x81\x1c\x63\x20\x0c\x01\x00\x20\xb3\xa5"},
		Radisys:  {"2018C8810C0172\r", "811C63200C010020B3\r"},
	} {
		t.Run(string(mode), func(t *testing.T) {
			origin := ipmb.Origin{Speaker: ipmb.SpeakerGuest, Privilege: ipmb.PrivilegeOperator}
			onLine(t, Config{Mode: mode, Origin: origin}, func(r *rig) {
				if got := r.say([]byte(want.ask)); got != want.answer {
					t.Errorf("%q, want %q", got, want.answer)
				}
				q := r.last()
				o := ipmb.Origin{Speaker: ipmb.SpeakerGuest, Door: ipmb.DoorSerial, Channel: 2, Privilege: ipmb.PrivilegeOperator, Source: 0x82}
				if q.NetFn != ipmb.NetFnApp || q.Cmd != 1 || q.Origin != o {
					t.Errorf("asked %+v", q)
				}
				r.limit = ipmb.PrivilegeUser
				r.say([]byte(want.ask))
				if p := r.last().Origin.Privilege; p != ipmb.PrivilegeUser {
					t.Errorf("over the channel's limit: %v", p)
				}
				r.open = false
				before := r.count()
				if got := r.say([]byte(want.ask)); got != "" || r.count() != before {
					t.Errorf("a closed channel says %q", got)
				}
			})
		})
	}
}

// Frames for others are nobody's business on a line, but for Radisys ASCII,
// which bridges them.
func TestOtherAddresses(t *testing.T) {
	f := request(ipmb.NetFnApp, 3, 1)
	f.To = 0x84
	onLine(t, Config{Mode: Direct}, func(r *rig) {
		if got := r.say(basicBytes(t, f)); got != "\xa6" || r.count() > 0 {
			t.Errorf("%q", got)
		}
		f := f
		f.To = 0x82
		if r.say(basicBytes(t, f)); r.count() != 1 {
			t.Error("its address on the bus is not heard")
		}
	})
	onLine(t, Config{Mode: Radisys}, func(r *rig) {
		raw, _ := f.AppendBinary(nil)
		reply := f.Reply(ipmb.Response{Data: []byte{0x42}})
		r.answer = func(req *ipmb.Request) ipmb.Response {
			data, _ := reply.AppendBinary(nil)
			return ipmb.Response{Data: data}
		}
		want, _ := r.codec.AppendFrame(nil, reply, false)
		if got := r.say(fmt.Appendf(nil, "%x\r", raw)); got != string(want) {
			t.Errorf("%q, want %q", got, want)
		}
		if q := r.last(); q.Cmd != ipmb.CmdSendMessage || !bytes.Equal(q.Data, append([]byte{0x40}, raw...)) {
			t.Errorf("asked %+v", q)
		}
		r.answer = func(*ipmb.Request) ipmb.Response { return ipmb.Response{Code: ipmb.ErrNAK} }
		want, _ = r.codec.AppendFrame(nil, f.Reply(ipmb.Response{Code: ipmb.ErrNAK}), false)
		if got := r.say(fmt.Appendf(nil, "%x\r", raw)); got != string(want) {
			t.Errorf("%q, want %q", got, want)
		}
		f := f
		f.To = addrLocal
		raw, _ = f.AppendBinary(nil)
		if r.say(fmt.Appendf(nil, "%x\r", raw)); r.last().Cmd != 1 {
			t.Errorf("01h is not the controller: %+v", r.last())
		}
	})
}

// pipes is a listener of connections in memory; none is one for which there
// was no file descriptor.
type pipes struct{ waiting chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p.waiting
	if !ok {
		return nil, net.ErrClosed
	}
	if c == nil {
		return nil, syscall.EMFILE
	}
	return c, nil
}

func (p pipes) Close() error   { close(p.waiting); return nil }
func (p pipes) Addr() net.Addr { return nil }

// A port has one plug: a second line must wait, but not for long.
func TestOnePlug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := New(Config{Mode: Terminal})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ln, done := pipes{make(chan net.Conn)}, make(chan error, 1)
		go func() { done <- d.Serve(ctx, ln) }()
		dial := func() net.Conn {
			far, near := net.Pipe()
			ln.waiting <- near
			return far
		}
		speaks := func(c net.Conn) bool {
			answer := make([]byte, len("[OK TMODE]\r\n"))
			if _, err := c.Write([]byte("[SYS TMODE]\r")); err != nil {
				return false
			}
			_, err := io.ReadFull(c, answer)
			return err == nil
		}
		ln.waiting <- nil
		first := dial()
		if !speaks(first) {
			t.Fatal("no line")
		}
		begin := time.Now()
		if speaks(dial()) || time.Since(begin) != plugWithin {
			t.Errorf("a second line after %v", time.Since(begin))
		}
		if !speaks(first) {
			t.Error("the first line has gone")
		}
		second := dial()
		time.AfterFunc(plugWithin/2, func() { _ = first.Close() })
		if !speaks(second) {
			t.Error("a line that comes while the other goes is not served")
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if speaks(second) {
			t.Error("a line goes on without its door")
		}
	})
}

// halfClosed is a connection whose other end says no more, but is there.
type halfClosed struct {
	net.Conn
	closed bool
}

func (h *halfClosed) Read([]byte) (int, error) { return 0, io.EOF }

func (h *halfClosed) Close() error {
	h.closed = true
	return nil
}

func TestLineCloses(t *testing.T) {
	d, err := New(Config{Mode: Terminal})
	if err != nil {
		t.Fatal(err)
	}
	var conn halfClosed
	if d.Line(t.Context(), &conn); !conn.closed {
		t.Error("a line that has ended is open")
	}
}

// fuzzed are settings of a port by two bits: both modes, and a line that writes
// between the answers.
func fuzzed(m Mode, bits int) mc.SerialSettings {
	s := m.defaults()
	if bits&1 != 0 {
		s.Basic, s.Terminal = true, true
	}
	if bits&2 != 0 {
		s.Mode.Echo, s.Mode.Handshake, s.Mode.Edit = true, true, false
	}
	return s
}

// FuzzLine has a line bring anything. Nobody logs in by it, and every request
// that reaches the controller has no privilege.
func FuzzLine(f *testing.F) {
	for _, c := range captured {
		f.Add(uint8(0), []byte(c.terminal))
		f.Add(uint8(1), unhex(f, c.basic))
		f.Add(uint8(2), unhex(f, c.basic))
	}
	for _, s := range []string{
		"[SYS PWD -U bob secret]", "[SYS PWD -N]", "[SYS PWD -X]", "[SYS TMODE]", "[SYS HEALTH QUERY -V]", "[SYS SET BOOT 0 1 2 3 4]",
		"[18 00 39 04 62 6F 62 00 00 00 00 00 00 00 00 00 00 00 00 00]", "[18 00 3B 04]", "[18 00 3C 00 00 00 00]", "[1A 00 01]",
	} {
		f.Add(uint8(0), []byte(s+"\r"))
	}
	f.Add(uint8(0), []byte("[SYS SET TCFG -V 27 35]\r[SYS GET BOOTOPT 05 00 00]\r[SYS SET BOOTOPT 05 00]\r[18 00 34 40 84 18 64 20 0C 01 D3]\r"))
	f.Add(uint8(3), []byte("8418642018017F\r"))
	f.Add(uint8(3), []byte("2018C8810C0172\r011AE5810C0500F6\r"))
	f.Add(uint8(4), []byte("\xa0\x20\x18\xc8\x81\x0c\x01\x72\xa5[18 04 01]\r\xa0["))
	f.Add(uint8(13), []byte("[SYS\\\r TMODE\x7fE]\x1b\n[18 04 01] \n"))
	f.Fuzz(func(t *testing.T, mode uint8, in []byte) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			m := Modes[int(mode)%len(Modes)]
			d, err := New(Config{
				Mode: m, Settings: func() mc.SerialSettings { return fuzzed(m, int(mode)/len(Modes)) },
				Handler: ipmb.HandlerFunc(func(_ context.Context, req *ipmb.Request) ipmb.Response {
					if req.Origin.Privilege != ipmb.PrivilegeNone || req.Origin.Door != ipmb.DoorSerial {
						t.Errorf("%+v", req)
					}
					return ipmb.Response{Code: ipmb.ErrPrivilege}
				}),
				Deliver: func(ipmb.Privilege, uint8, ipmb.Frame) bool { t.Error("to software"); return true },
				Account: func(name string, _ ipmb.Privilege) (mc.Account, error) {
					return mc.Account{ID: 2, Name: name, Password: bytes.Repeat([]byte{0xFE}, mc.PasswordLen), Limit: ipmb.PrivilegeAdmin}, nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			far, near := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, far) }()
			over := make(chan struct{})
			go func() { d.Line(ctx, near); close(over) }()
			_, _ = far.Write(in)
			if d.Sessions() != 0 {
				t.Errorf("%q opens a session", in)
			}
			_ = far.Close()
			<-over
		})
	})
}
