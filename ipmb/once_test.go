package ipmb_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// counter answers each request with how many it has done.
type counter struct {
	n    byte
	take time.Duration
}

func (c *counter) ServeIPMI(_ context.Context, req *ipmb.Request) ipmb.Response {
	time.Sleep(c.take)
	c.n++
	return ipmb.Response{Data: append(req.Data[:0], c.n)}
}

func withEffect(r *ipmb.Request) bool { return r.Cmd == 0x44 }

func named(id uint64, instance string) *ipmb.Request {
	return &ipmb.Request{Cmd: 0x44, Data: []byte{0}, Origin: ipmb.Origin{ID: id, Instance: instance}}
}

func TestOnce(t *testing.T) {
	h := ipmb.NewOnce(&counter{}, withEffect, 2)
	do := func(req *ipmb.Request, want byte) {
		t.Helper()
		r := h.ServeIPMI(t.Context(), req)
		if r.Code != ipmb.OK || len(r.Data) != 1 || r.Data[0] != want {
			t.Errorf("got %02x % x, want %d", uint8(r.Code), r.Data, want)
		}
		req.Data[0] = 0xEE // the caller uses his buffer again
	}
	do(named(1, "a"), 1)
	do(named(1, "a"), 1)
	do(named(1, "b"), 2) // another instance's
	do(named(1, "a"), 1)
	do(named(0, "a"), 3) // without id
	do(named(0, "a"), 4)
	read := named(1, "a")
	read.Cmd = 0x43
	do(read, 5) // without effect
	do(named(2, "a"), 6)
	do(named(1, "b"), 2)
	do(named(1, "a"), 7) // forgotten: two have finished since
}

func TestOnceJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := ipmb.NewOnce(&counter{take: time.Second}, withEffect, 8)
		answers := make(chan ipmb.Response, 10)
		for range cap(answers) {
			go func() { answers <- h.ServeIPMI(t.Context(), named(1, "a")) }()
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		synctest.Wait()
		if r := h.ServeIPMI(impatient, named(1, "a")); r.Code != ipmb.ErrTimeout {
			t.Errorf("a repeat that does not wait got %s", r.Code)
		}
		for range cap(answers) {
			if r := <-answers; r.Code != ipmb.OK || r.Data[0] != 1 {
				t.Errorf("got %s % x", r.Code, r.Data)
			}
		}
	})
}

// A handler that panics leaves nobody waiting.
func TestOnceAfterPanic(t *testing.T) {
	h := ipmb.NewOnce(ipmb.HandlerFunc(func(context.Context, *ipmb.Request) ipmb.Response { panic("bug") }), withEffect, 1)
	func() {
		defer func() { _ = recover() }()
		h.ServeIPMI(t.Context(), named(1, "a"))
	}()
	if r := h.ServeIPMI(t.Context(), named(1, "a")); r.Code != ipmb.ErrUnspecified {
		t.Errorf("got %s", r.Code)
	}
}
