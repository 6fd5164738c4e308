package vm

import "time"

// When a request gets no answer, the device gives one itself: C3h after four
// seconds, D2h when the link breaks. It takes number, netFn and command for it
// from the bytes that it sent, and does not undo their escapes (QEMU
// hw/ipmi/ipmi_bmc_extern.c: extern_timeout and chr_event read outbuf[0..2]).
// What it says of a request with number A0h or A1h so has number AAh: nobody
// hears it, and a KCS or BT interface stays busy for ever. With one of the other
// bytes escaped it answers another command, which a BT driver passes over. The
// door tells the guest of those itself, a little before the device would.
const tellWithin = answerWithin - 50*time.Millisecond

// mistold reports whether the device would say something wrong of m.
func (m Message) mistold() bool {
	return escaped(m.Seq) || escaped(byte(m.NetFn)<<netFnShift|byte(m.LUN)) || escaped(byte(m.Cmd))
}

// unheard reports whether the interface would not hear it, so that it waits for
// an answer to m however late that is.
func (m Message) unheard() bool { return escaped(m.Seq) && m.Seq != escape }
