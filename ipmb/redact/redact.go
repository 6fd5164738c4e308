// Package redact takes passwords and keys out of messages before they are
// shown or stored.
//
// It knows Set User Password and Set Channel Security Keys (IPMI 2.0 §22.30,
// §22.25), and the community string of Set and Get LAN Configuration Parameters
// (§23.1, §23.2), also inside Send Message, in the answer to a Send Message and
// in what Get Message fetches. Secrets become [Mask] bytes; lengths stay, and
// checksums are made anew, since the old ones tell of the secret.
package redact

import (
	"bytes"

	"github.com/midplane-project/midplane/ipmb"
)

// Mask is the byte that stands for each secret one.
const Mask = '*'

const (
	cmdGetMessage             ipmb.Cmd = 0x33
	cmdSetUserPassword        ipmb.Cmd = 0x47
	cmdSetChannelSecurityKeys ipmb.Cmd = 0x56

	cmdSetLANParameters ipmb.Cmd = 0x01
	cmdGetLANParameters ipmb.Cmd = 0x02
	lanCommunity                 = 16 // parameter
	communityLen                 = 18

	userPasswordHead = 2 // user id, operation
	securityKeysHead = 3 // channel, operation, key id
	securityKeysDone = 2 // of the response: completion code, lock status
	lanSetHead       = 2 // channel, parameter
	lanGetDone       = 2 // of the response: completion code, revision
	sendMessageHead  = 1 // channel; of the response: completion code
	getMessageHead   = 2 // completion code, channel
	systemHead       = 2 // netFn/LUN, command
	netFnShift       = 2
)

// A message without the address in front of it, as Get Message gives it:
// netFn/LUN, checksum, source, sequence, command, data, checksum.
const (
	sourceAt   = 2
	commandAt  = 4
	bodyAt     = 5
	tailLen    = 1
	minMessage = bodyAt + tailLen
)

// Secret reports whether an IPMB frame has a secret that Frame would mask.
func Secret(raw []byte) bool { return maskFrame(bytes.Clone(raw)) }

// Frame gives a copy of a whole IPMB frame without its secrets. A frame that
// is broken is masked as far as it can be read.
func Frame(raw []byte) []byte {
	b := bytes.Clone(raw)
	maskFrame(b)
	return b
}

// Text gives a frame as its String does, without its secrets: for logs.
func Text(f ipmb.Frame) string {
	f.Data = bytes.Clone(f.Data)
	maskBody(f.NetFn, f.Cmd, f.Data)
	return f.String()
}

// System gives a copy of a message of the system interface without its
// secrets: netFn/LUN, command, data; of a response with the completion code
// before the data.
func System(msg []byte) []byte {
	b := bytes.Clone(msg)
	if len(b) >= systemHead {
		maskBody(ipmb.NetFn(b[0]>>netFnShift), ipmb.Cmd(b[1]), b[systemHead:])
	}
	return b
}

func maskFrame(b []byte) bool { return len(b) > 0 && maskMessage(b[1:]) }

// maskMessage masks a message behind its destination address, and reports
// whether it had a secret.
func maskMessage(b []byte) bool {
	if len(b) < minMessage {
		return false
	}
	end := len(b) - tailLen
	if !maskBody(ipmb.NetFn(b[0]>>netFnShift), ipmb.Cmd(b[commandAt]), b[bodyAt:end]) {
		return false
	}
	b[end] = ipmb.Checksum(b[sourceAt:end])
	return true
}

// maskBody masks the data of a message. Data is at least one layer shorter
// than what it was found in, so the recursion ends.
func maskBody(n ipmb.NetFn, cmd ipmb.Cmd, data []byte) bool {
	switch response := n.IsResponse(); n.Request() {
	case ipmb.NetFnApp:
		return maskApp(cmd, response, data)
	case ipmb.NetFnTransport:
		return maskTransport(cmd, response, data)
	}
	return false
}

func maskApp(cmd ipmb.Cmd, response bool, data []byte) bool {
	switch {
	case cmd == cmdSetUserPassword && !response:
		return maskFrom(data, userPasswordHead)
	case cmd == cmdSetChannelSecurityKeys && !response:
		return maskFrom(data, securityKeysHead)
	case cmd == cmdSetChannelSecurityKeys:
		return maskFrom(data, securityKeysDone)
	case cmd == ipmb.CmdSendMessage:
		return len(data) > sendMessageHead && maskFrame(afterBroadcast(data[sendMessageHead:]))
	case cmd == cmdGetMessage && response:
		return len(data) > getMessageHead && maskMessage(data[getMessageHead:])
	}
	return false
}

// maskTransport masks the community string. A response does not say which
// parameter it has: no other of IPMI's is as long.
func maskTransport(cmd ipmb.Cmd, response bool, data []byte) bool {
	switch {
	case cmd == cmdSetLANParameters && !response:
		return len(data) > lanSetHead && data[1] == lanCommunity && maskFrom(data, lanSetHead)
	case cmd == cmdGetLANParameters && response:
		return len(data) == lanGetDone+communityLen && maskFrom(data, lanGetDone)
	}
	return false
}

// afterBroadcast drops the 00 that stands before the frame of a broadcast.
func afterBroadcast(b []byte) []byte {
	if b[0] == byte(ipmb.AddrBroadcast) {
		return b[1:]
	}
	return b
}

func maskFrom(data []byte, head int) bool {
	if len(data) <= head {
		return false
	}
	for i := range data[head:] {
		data[head+i] = Mask
	}
	return true
}
