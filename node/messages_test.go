package node

import (
	"errors"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
)

// What the guest enables and what waits for it decide the lines of its door.
func TestLines(t *testing.T) {
	for _, c := range []struct {
		name       string
		do         func(b *board)
		attention  bool
		interrupts bool
		flags      string
	}{
		{"nothing", func(*board) {}, false, false, "00 00"},
		{"queue interrupt enabled", func(b *board) { b.guest("06 2e 09") }, false, true, "00 00"},
		{"event interrupt enabled", func(b *board) { b.guest("06 2e 0a") }, false, true, "00 00"},
		{"enabled as Linux does", func(b *board) { b.guest("06 2e 0f") }, false, true, "00 00"},
		{"and disabled", func(b *board) { b.guest("06 2e 0f"); b.guest("06 2e 08") }, false, false, "00 00"},
		{"a message", func(b *board) { b.push(1) }, true, false, "00 01"},
		{"a message with interrupt", func(b *board) { b.guest("06 2e 0f"); b.push(1) }, true, true, "00 01"},
		{"one of two messages read", func(b *board) { b.push(2); b.guest("06 33") }, true, false, "00 01"},
		{"all read", func(b *board) { b.push(2); b.guest("06 33"); b.guest("06 33") }, false, false, "00 00"},
		{"queue cleared", func(b *board) { b.push(2); b.guest("06 30 01") }, false, false, "00 00"},
		{"an event", func(b *board) { b.guest("06 2e 0c"); b.event() }, true, false, "00 02"},
		{"an event without buffer", func(b *board) { b.event() }, false, false, "00 00"},
		{"event read", func(b *board) { b.guest("06 2e 0c"); b.event(); b.guest("06 35") }, false, false, "00 00"},
		{"event cleared", func(b *board) { b.guest("06 2e 0c"); b.event(); b.guest("06 30 02") }, false, false, "00 00"},
		{"both", func(b *board) { b.guest("06 2e 0f"); b.event(); b.push(1) }, true, true, "00 03"},
		{"the other flags clear nothing", func(b *board) { b.guest("06 2e 0c"); b.event(); b.push(1); b.guest("06 30 fc") }, true, false, "00 03"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBoard(t, ProfileATCA)
			c.do(b)
			if attention, interrupts, _ := b.line.state(); attention != c.attention || interrupts != c.interrupts {
				t.Errorf("attention %v, interrupts %v", attention, interrupts)
			}
			if got := b.guest("06 31"); got != c.flags {
				t.Errorf("flags %s, want %s", got, c.flags)
			}
		})
	}
}

// push puts messages into the receive queue.
func (b *board) push(n int) {
	for i := range n {
		b.mail.push(getDeviceID(self, uint8(i)), nil)
	}
}

// event has the guest report one.
func (b *board) event() { b.guest("04 02 41 04 02 30 01 57 ff ff") }

// BT lowers its line by itself, so each message after the first repeats it.
func TestRemind(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	b.push(1)
	if _, _, n := b.line.state(); n != 0 {
		t.Errorf("reminded %d times of the first message", n)
	}
	b.push(1)
	if _, _, n := b.line.state(); n != 1 {
		t.Errorf("reminded %d times of the second", n)
	}
}

func TestEnablesThatCannotBeStored(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	full := errors.New("disk full")
	b.mail.save = func(byte) error { return full }
	if got := b.guest("06 2e 0f"); got != "ff" {
		t.Errorf("set: %s", got)
	}
	if got := b.guest("06 2f"); got != "00 08" {
		t.Errorf("get: %s", got)
	}
	if _, on, _ := b.line.state(); on {
		t.Error("interrupts on")
	}
}

func TestFrameTooLongForTheQueue(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	if b.mail.push(ipmb.Frame{To: self, Data: make([]byte, ipmb.MaxFramePayload+1)}, nil) {
		t.Error("taken")
	}
}
