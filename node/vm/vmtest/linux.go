package vmtest

import (
	"context"
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
)

// What Linux's drivers say (ipmi_si_intf.c, ipmi_msghandler.c).
const (
	cmdGetDeviceGUID  ipmb.Cmd = 0x08
	cmdGetChannelInfo ipmb.Cmd = 0x42

	flagMessage  = 0x01 // Get Message Flags: the receive queue has something
	flagWatchdog = 0x08

	enableReceiveIRQ  = 0x01
	enableEventIRQ    = 0x02
	enableEventBuffer = 0x04
)

// Received is one message out of the receive queue.
type Received struct {
	Channel uint8
	Frame   ipmb.Frame // To is the address of the node, which the queue leaves out
}

// Probe does what ipmi_si does when it is loaded, in its order, and gives the
// data of Get Device ID. A completion code other than 00h is an error where
// Linux would give up; what Linux tolerates is tolerated.
func (g *Guest) Probe(ctx context.Context) ([]byte, error) {
	id, err := g.must(ctx, ipmb.CmdGetDeviceID)
	if err != nil {
		return nil, err
	}
	enables, err := g.must(ctx, ipmb.CmdGetGlobalEnables)
	if err != nil || len(enables) == 0 {
		return nil, fmt.Errorf("vmtest: global enables % x: %w", enables, err)
	}
	for _, bit := range []byte{enableReceiveIRQ, enableEventBuffer, enableEventIRQ} {
		if _, err := g.must(ctx, ipmb.CmdGetGlobalEnables); err != nil {
			return nil, err
		}
		enables[0] |= bit
		if _, err := g.must(ctx, ipmb.CmdSetGlobalEnables, enables[0]); err != nil {
			return nil, err
		}
	}
	if _, err := g.must(ctx, ipmb.CmdClearMessageFlags, flagWatchdog); err != nil {
		return nil, err
	}
	return id, g.probeRest(ctx)
}

func (g *Guest) probeRest(ctx context.Context) error {
	for _, c := range []ipmb.Cmd{cmdGetDeviceGUID, ipmb.CmdReadEventMessageBuffer, ipmb.CmdGetDeviceID} {
		if _, _, err := g.Do(ctx, ipmb.NetFnApp, ipmb.LUNBMC, c, nil); err != nil {
			return err
		}
	}
	for ch := range uint8(16) {
		code, _, err := g.Do(ctx, ipmb.NetFnApp, ipmb.LUNBMC, cmdGetChannelInfo, []byte{ch})
		if err != nil || code == ipmb.ErrInvalidCommand {
			return err
		}
	}
	return nil
}

// must asks an application command whose completion code has to be 00h.
func (g *Guest) must(ctx context.Context, c ipmb.Cmd, data ...byte) ([]byte, error) {
	code, out, err := g.Do(ctx, ipmb.NetFnApp, ipmb.LUNBMC, c, data)
	if err == nil && code != ipmb.OK {
		err = code
	}
	if err != nil {
		return nil, fmt.Errorf("vmtest: command 06/%02x: %w", uint8(c), err)
	}
	return out, nil
}

// SendIPMB sends a request to another controller, as Linux does: Send Message
// on channel 0, requester's LUN 2, no tracking. It gives the sequence number
// under which the answer will come, and the completion code of Send Message.
func (g *Guest) SendIPMB(ctx context.Context, to ipmb.Addr, req ipmb.Request) (seq uint8, code ipmb.CompletionCode, err error) {
	g.mu.Lock()
	seq = g.rqSeq
	g.rqSeq = (g.rqSeq + 1) % ipmb.MaxSequence
	g.mu.Unlock()
	code, err = g.SendFrame(ctx, ipmb.RequestFrame(to, g.opt.Address, ipmb.LUNSMS, seq, &req))
	return seq, code, err
}

// SendFrame sends any frame by Send Message on channel 0: a request again, or
// the answer of guest software to what it received.
func (g *Guest) SendFrame(ctx context.Context, f ipmb.Frame) (ipmb.CompletionCode, error) {
	frame, err := f.AppendBinary(nil)
	if err != nil {
		return 0, fmt.Errorf("vmtest: %w", err)
	}
	data, err := ipmb.SendMessage{Channel: ipmb.ChannelIPMB, Message: frame}.AppendBinary(nil)
	if err != nil {
		return 0, fmt.Errorf("vmtest: %w", err)
	}
	code, _, err := g.Do(ctx, ipmb.NetFnApp, ipmb.LUNBMC, ipmb.CmdSendMessage, data)
	return code, err
}

// Receive does what Linux does on attention: it asks for the flags and, if
// they say so, fetches messages until there are none.
func (g *Guest) Receive(ctx context.Context) ([]Received, error) {
	flags, err := g.must(ctx, ipmb.CmdGetMessageFlags)
	if err != nil || len(flags) == 0 || flags[0]&flagMessage == 0 {
		return nil, err
	}
	var out []Received
	for {
		code, data, err := g.Do(ctx, ipmb.NetFnApp, ipmb.LUNBMC, ipmb.CmdGetMessage, nil)
		if err != nil || code != ipmb.OK {
			return out, err
		}
		r, err := ParseReceived(data)
		if err != nil {
			return out, err
		}
		out = append(out, r)
	}
}

// Ask sends a request to another controller and waits for its answer, without
// Linux's retries. Other messages that come meanwhile are thrown away.
func (g *Guest) Ask(ctx context.Context, to ipmb.Addr, req ipmb.Request) (ipmb.Response, error) {
	seq, code, err := g.SendIPMB(ctx, to, req)
	if err != nil || code != ipmb.OK {
		return ipmb.Response{Code: code}, err
	}
	for {
		if err := g.WaitAttention(ctx); err != nil {
			return ipmb.Response{}, err
		}
		msgs, err := g.Receive(ctx)
		if err != nil {
			return ipmb.Response{}, err
		}
		for _, m := range msgs {
			r, ok := m.Frame.Response()
			if ok && m.Frame.Seq == seq && m.Frame.From == to && m.Frame.Cmd == req.Cmd {
				return r, nil
			}
		}
	}
}

// ParseReceived reads the data of Get Message: the channel, then a frame
// without the address that it was sent to, which its first checksum tells.
func ParseReceived(data []byte) (Received, error) {
	const channelMask = 0x0F
	if len(data) < ipmb.MinFrameLen {
		return Received{}, fmt.Errorf("vmtest: received % x: %w", data, ipmb.ErrFrameShort)
	}
	to := ipmb.Checksum(data[1:3])
	f, err := ipmb.ParseFrame(append([]byte{to}, data[1:]...))
	if err != nil {
		return Received{}, fmt.Errorf("vmtest: received % x: %w", data, err)
	}
	return Received{Channel: data[0] & channelMask, Frame: f}, nil
}
