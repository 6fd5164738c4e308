package vm

import "github.com/midplane-project/midplane/ipmb"

// MemorySize is the length of a [Config.Memory] in bytes.
const MemorySize = 1 + 2*memoryCommands

// memoryCommands is how many kinds of request a memory holds. A driver and its
// users ask the same few again and again.
const memoryCommands = 15

// memory is what this guest asks, the most frequent first, for those who must
// answer a request that they never saw (see revive.go):
//
//	0  how many kinds are known
//	1  netFn<<2|LUN, command of each
//
// It may be a mapped file, and each change leaves it readable.
type memory []byte

// note counts one request, by moving its kind one place forward.
func (b memory) note(m Message) {
	netFn, cmd := byte(m.NetFn)<<netFnShift|byte(m.LUN), byte(m.Cmd)
	n := min(int(b[0]), memoryCommands)
	for i := range n {
		at := b[1+2*i:]
		if at[0] != netFn || at[1] != cmd {
			continue
		}
		if i > 0 {
			before := b[1+2*(i-1):]
			before[0], before[1], at[0], at[1] = at[0], at[1], before[0], before[1]
		}
		return
	}
	n = min(n+1, memoryCommands)
	at := b[1+2*(n-1):]
	at[0], at[1], b[0] = netFn, cmd, byte(n)
}

// kinds gives the kinds of request as messages without number and data; Get
// Device ID when none is known.
func (b memory) kinds() []Message {
	n := min(int(b[0]), memoryCommands)
	if n == 0 {
		return []Message{{NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdGetDeviceID}}
	}
	out := make([]Message, n)
	for i := range out {
		at := b[1+2*i:]
		out[i] = Message{NetFn: ipmb.NetFn(at[0] >> netFnShift), LUN: ipmb.LUN(at[0] & lunMask), Cmd: ipmb.Cmd(at[1])}
	}
	return out
}
