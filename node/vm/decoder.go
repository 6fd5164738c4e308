package vm

// FrameKind tells what [Decoder.Next] found.
type FrameKind uint8

// Kinds of frames.
const (
	FrameNone    FrameKind = iota // the input ended first
	FrameMessage                  // Body goes to ParseMessage
	FrameCommand                  // Body is a command's code and arguments, never empty
	FrameBad                      // to be dropped; Err says why
)

// Frame is one frame of the stream, escapes removed.
type Frame struct {
	Kind FrameKind
	Body []byte // valid until the next call of Next
	Err  error
}

// Decoder cuts a stream into frames. The zero Decoder is ready. It holds at
// most one message; of anything longer only the end is looked for.
//
// Its escapes are those of QEMU's own receiver: AAh clears bit 4 of the next
// byte whatever that is, and after an A0h that ended a message within an
// escape, the escape still counts for the byte that follows.
type Decoder struct {
	body    [maxBody]byte
	n       int
	escaped bool
	long    bool
}

// Next consumes in up to the end of the next frame and gives that frame and
// what is left of in. FrameNone: all of in was consumed.
func (d *Decoder) Next(in []byte) (Frame, []byte) {
	for i, x := range in {
		switch x {
		case endMessage:
			return d.message(), in[i+1:]
		case endCommand:
			if f := d.command(); f.Kind != FrameNone {
				return f, in[i+1:]
			}
		case escape:
			d.escaped = true
		default:
			d.put(x)
		}
	}
	return Frame{}, nil
}

func (d *Decoder) put(x byte) {
	if d.escaped {
		x &^= escapeBit
		d.escaped = false
	}
	if d.n == len(d.body) {
		d.long = true
		return
	}
	d.body[d.n] = x
	d.n++
}

func (d *Decoder) message() Frame {
	body, long := d.take()
	switch {
	case d.escaped:
		return Frame{Kind: FrameBad, Err: ErrEscape}
	case long:
		return Frame{Kind: FrameBad, Err: ErrLong}
	}
	return Frame{Kind: FrameMessage, Body: body}
}

// command ends a hardware command. One that is too long still counts: only
// its first bytes mean anything. An empty one is nothing.
func (d *Decoder) command() Frame {
	body, _ := d.take()
	d.escaped = false
	if len(body) == 0 {
		return Frame{}
	}
	return Frame{Kind: FrameCommand, Body: body}
}

func (d *Decoder) take() (body []byte, long bool) {
	body, long = d.body[:d.n], d.long
	d.n, d.long = 0, false
	return body, long
}

// AppendPending appends bytes to b that bring a fresh Decoder to the state of
// this one: the frame that has begun, as it may have stood on the wire.
func (d *Decoder) AppendPending(b []byte) []byte {
	for _, x := range d.body[:d.n] {
		b = appendEscaped(b, x)
	}
	if d.long {
		b = append(b, 0)
	}
	if d.escaped {
		b = append(b, escape)
	}
	return b
}
