package ipmb

// Send Message (IPMI 2.0 §22.7) carries a whole message for another channel:
//
//	[7:6] tracking [5] encrypted [4] authenticated [3:0] channel | message…
//
// For an IPMB channel the message is a whole frame, from rsSA to chk2. Linux
// puts a 00 in front of it for a broadcast.

// CmdSendMessage and the commands around it (IPMI 2.0 §22).
const (
	CmdGetDeviceID            Cmd = 0x01
	CmdSetGlobalEnables       Cmd = 0x2E
	CmdGetGlobalEnables       Cmd = 0x2F
	CmdClearMessageFlags      Cmd = 0x30
	CmdGetMessageFlags        Cmd = 0x31
	CmdGetMessage             Cmd = 0x33
	CmdSendMessage            Cmd = 0x34
	CmdReadEventMessageBuffer Cmd = 0x35
)

// Tracking says what a bridge does with the answer to a sent message.
type Tracking uint8

// Tracking values. 11b is reserved.
const (
	TrackNone     Tracking = 0 // the requester matches the answer himself
	TrackRequest  Tracking = 1 // the bridge remembers the requester and routes the answer back
	TrackRaw      Tracking = 2 // raw data to the channel
	trackReserved Tracking = 3
)

const (
	trackShift        = 6
	sendEncryptedBit  = 0x20
	sendAuthenticBit  = 0x10
	channelMask       = 0x0F
	MaxNesting        = 4 // Send Message within Send Message; clients use two
	sendMessageHeader = 1
)

// SendMessage is the body of a Send Message request.
type SendMessage struct {
	Tracking      Tracking
	Encrypted     bool
	Authenticated bool
	Channel       uint8
	Broadcast     bool   // an IPMB broadcast: 00 stood before rsSA
	Message       []byte // for an IPMB channel a whole frame
}

// ParseSendMessage reads the data of a Send Message request. Message aliases data.
func ParseSendMessage(data []byte) (SendMessage, error) {
	if len(data) < sendMessageHeader+MinFrameLen {
		return SendMessage{}, ErrLength
	}
	h := data[0]
	s := SendMessage{
		Tracking: Tracking(h >> trackShift), Encrypted: h&sendEncryptedBit != 0,
		Authenticated: h&sendAuthenticBit != 0, Channel: h & channelMask, Message: data[sendMessageHeader:],
	}
	if s.Tracking >= TrackRaw {
		return SendMessage{}, ErrInvalidField
	}
	if Addr(s.Message[0]) == AddrBroadcast {
		s.Broadcast, s.Message = true, s.Message[1:]
	}
	return s, nil
}

// AppendBinary appends the data of a Send Message request to b.
func (s SendMessage) AppendBinary(b []byte) ([]byte, error) {
	h := byte(s.Tracking)<<trackShift | s.Channel&channelMask
	if s.Encrypted {
		h |= sendEncryptedBit
	}
	if s.Authenticated {
		h |= sendAuthenticBit
	}
	b = append(b, h)
	if s.Broadcast {
		b = append(b, byte(AddrBroadcast))
	}
	return append(b, s.Message...), nil
}

// Innermost follows Send Message requests to the command that will in the end
// be executed, so that a privilege check sees what is meant and not its
// wrapping. Each frame on the way is in path, the outermost first; the last is
// the innermost. It fails on an inner message that is no frame, or on more
// than MaxNesting wrappings: what cannot be read cannot be permitted.
func Innermost(f Frame) (path []Frame, err error) {
	_, err = innermost(f, func(f Frame) { path = append(path, f) })
	return path, err
}

// innermost is Innermost, but that it shows the frames on the way.
func innermost(f Frame, show func(Frame)) (Frame, error) {
	show(f)
	for depth := 1; !f.IsResponse() && f.NetFn == NetFnApp && f.Cmd == CmdSendMessage && f.ToLUN != LUNSMS; depth++ {
		if depth > MaxNesting {
			return f, ErrInvalidField
		}
		s, err := ParseSendMessage(f.Data)
		if err != nil {
			return f, err
		}
		if f, err = ParseFrame(s.Message); err != nil {
			return f, ErrInvalidField
		}
		show(f)
	}
	return f, nil
}
