package rmcp

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// heardBySoftware is a message that came to LUN 2.
type heardBySoftware struct {
	privilege ipmb.Privilege
	handle    uint8
	frame     ipmb.Frame
}

// withSoftware is a site with software, which finds messages in the channel.
func withSoftware(t *testing.T, room int) (*site, chan heardBySoftware) {
	s, queue := site15(t, both15), make(chan heardBySoftware, room)
	s.software = func(p ipmb.Privilege, handle uint8, f ipmb.Frame) bool {
		select {
		case queue <- heardBySoftware{p, handle, f}:
			return true
		default:
			return false
		}
	}
	return s, queue
}

// toSoftware is a request for LUN 2, as ipmitool -l 2 makes it.
func toSoftware(t *testing.T, seq uint8, data ...byte) []byte {
	t.Helper()
	f := ipmb.Frame{To: 0x20, NetFn: 0x30, ToLUN: ipmb.LUNSMS, From: 0x81, Seq: seq, Cmd: 1, Data: data}
	b, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// said is the answer of software's as Linux makes it.
func said(h heardBySoftware, data ...byte) ipmb.Frame {
	r := h.frame.Reply(ipmb.Response{Data: data})
	r.FromLUN = ipmb.LUNSMS
	return r
}

func TestSoftware(t *testing.T) {
	s, queue := withSoftware(t, 8)
	s.open()
	plus := s.as("admin", "secret")
	message := toSoftware(t, 40, 0xAA)
	plus.send(message)
	h := next(t, queue)
	if h.privilege != ipmb.PrivilegeAdmin || h.handle != 1 || h.frame.Data[0] != 0xAA || h.frame.ToLUN != ipmb.LUNSMS || h.frame.From != 0x81 {
		t.Errorf("software hears %+v", h)
	}
	plus.send(message)                               // once more: nobody answered yet
	plus.want("the controller", plus.do(6, 1), 0, 1) // goes on meanwhile
	if err := s.Send(1, said(h, 0xBB, 1)); err != nil {
		t.Error(err)
	}
	hear := func(what string) {
		t.Helper()
		if f := plus.receive(); f.String() != said(h, 0xBB, 1).String() {
			t.Errorf("%s: %s", what, f)
		}
	}
	hear("answer")
	plus.send(message)
	hear("the same to who asks again")
	if len(queue) > 0 {
		t.Error("a repeat was queued")
	}
	if err := s.Send(1, said(h, 9)); err != nil { // nobody waits for it
		t.Error(err)
	}
	plus.want("behind it", plus.do(6, 1), 0, 2)
	for _, handle := range []uint8{0, 2, 0xFF} {
		if err := s.Send(handle, said(h)); ipmb.CodeOf(err) != ipmb.ErrHandle {
			t.Errorf("handle %d: %v", handle, err)
		}
	}

	ask := ipmb.Frame{To: 0x81, NetFn: 0x30, From: 0x20, FromLUN: ipmb.LUNSMS, Seq: 3, Cmd: 7}
	if err := s.Send(1, ask); err != nil {
		t.Error(err)
	}
	if f := plus.receive(); f.String() != ask.String() {
		t.Errorf("software asks %s", f)
	}
	b, _ := ask.Reply(ipmb.Response{}).AppendBinary(nil)
	plus.send(b)
	if h := next(t, queue); h.frame.String() != ask.Reply(ipmb.Response{}).String() {
		t.Errorf("it is answered %s", h.frame)
	}
	s.mode = mc.AccessDisabled
	if err := s.Send(1, ask); ipmb.CodeOf(err) != ipmb.ErrNAK {
		t.Errorf("by a channel that is disabled: %v", err)
	}
}

func TestSoftwareBy15(t *testing.T) {
	s, queue := withSoftware(t, 8)
	s.open()
	c := s.dial15(authTypeMD5, "eve", "sixteen")
	if code := c.login(2); code != 0 {
		t.Fatal(code)
	}
	c.write(c.k.appendSealed(nil, PayloadIPMI, c.id, c.seq, toSoftware(t, 41, 1, 2)))
	c.seq++
	h := next(t, queue)
	if err := s.Send(h.handle, said(h, 5)); err != nil || h.privilege != ipmb.PrivilegeUser {
		t.Error(h.privilege, err)
	}
	message, err := c.k.open(c.read())
	if err != nil {
		t.Fatal(err)
	}
	if f, err := ipmb.ParseFrame(message); err != nil || f.String() != said(h, 5).String() {
		t.Errorf("%s, %v", f, err)
	}
}

// What does not reach software is refused at once.
func TestSoftwareRefuses(t *testing.T) {
	s, queue := withSoftware(t, maxAsked+1)
	var limit atomic.Uint32
	limit.Store(uint32(ipmb.PrivilegeAdmin))
	s.cfg.Active = func(uint8) (mc.ChannelSetting, bool) {
		return mc.ChannelSetting{Flags: byte(mc.AccessAlways), Limit: ipmb.Privilege(limit.Load())}, true
	}
	s.open()
	c, other := s.as("admin", "secret"), s.as("eve", "sixteen")
	var heard []heardBySoftware
	for i := range maxAsked {
		c.send(toSoftware(t, uint8(10+i)))
		heard = append(heard, next(t, queue))
	}
	ask := func(what string, c *client, seq uint8, want ipmb.CompletionCode) {
		t.Helper()
		c.send(toSoftware(t, seq))
		if f := c.receive(); f.Seq != seq || f.Data[0] != byte(want) || f.FromLUN != ipmb.LUNSMS {
			t.Errorf("%s: %s, want %v", what, f, want)
		}
	}
	ask("too many that wait", c, 30, ipmb.ErrBusy)
	for i := range maxAsked + 1 { // others fill the queue
		queue <- heard[i%maxAsked]
	}
	ask("no room", other, 30, ipmb.ErrBusy)
	limit.Store(uint32(ipmb.PrivilegeCallback))
	ask("may nothing", other, 31, ipmb.ErrPrivilege)
	for _, h := range heard { // they are answered, each its own
		if err := s.Send(h.handle, said(h)); err != nil {
			t.Error(err)
		}
		if f := c.receive(); f.Seq != h.frame.Seq {
			t.Errorf("%s answers %s", f, h.frame)
		}
	}
}

// A request waits as long as a client may, and not longer than its session.
func TestSoftwareIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := newSite(t).Sessions
		s := &session{id: 5, handle: 1, keys: &keys{}}
		tab.all[5], tab.handles[1] = s, s
		d := &Door{DoorConfig: DoorConfig{Sessions: tab, Software: func(ipmb.Privilege, uint8, ipmb.Frame) bool { return true }}}
		f, _ := ipmb.ParseFrame(toSoftware(t, 9))
		waits := func(ctx context.Context) chan bool {
			ended := make(chan bool, 1)
			go func() {
				_, ok := d.software(ctx, s, f, ipmb.PrivilegeUser)
				ended <- ok
			}()
			return ended
		}
		begun := time.Now()
		if <-waits(t.Context()) || time.Since(begun) != softwarePatience || len(s.asked) > 0 {
			t.Errorf("%v, %d wait", time.Since(begun), len(s.asked))
		}
		begun = time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		one := waits(ctx)
		synctest.Wait()
		cancel()
		if <-one || time.Since(begun) != 0 {
			t.Error("waits for a door that is closed")
		}
		one = waits(t.Context())
		synctest.Wait()
		tab.mu.Lock()
		tab.remove(s)
		tab.mu.Unlock()
		s.wipe()
		if <-one || time.Since(begun) != 0 || len(s.asked) > 0 {
			t.Error("waits for a session that is over")
		}
	})
}

// What software answers to a session that is over reaches no other one.
func TestSoftwareAnswersAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := newSite(t).Sessions
		login := func(id uint32) *session {
			s := &session{id: id, login: &login{begun: time.Now()}, last: time.Now(), keys: &keys{}}
			tab.mu.Lock()
			defer tab.mu.Unlock()
			tab.all[id] = s
			if !tab.activate(s, time.Now()) {
				t.Fatal("no handle")
			}
			return s
		}
		f, _ := ipmb.ParseFrame(toSoftware(t, 9))
		gone := login(1)
		if gone.handle != 1 || tab.await(gone, f, time.Now()) == nil {
			t.Fatal("does not wait")
		}
		tab.mu.Lock()
		tab.remove(gone)
		tab.mu.Unlock()
		for id := range uint32(MaxSessions - 1) {
			if s := login(2 + id); s.handle != uint8(2+id) {
				t.Errorf("session %d has handle %d", 2+id, s.handle)
			}
		}
		heir := login(99)
		if heir.handle != 1 || tab.await(heir, f, time.Now()) != nil {
			t.Error("may be answered for another")
		}
		time.Sleep(softwarePatience)
		if tab.await(heir, f, time.Now()) == nil {
			t.Error("may never ask")
		}
	})
}
