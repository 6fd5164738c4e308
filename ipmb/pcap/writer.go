package pcap

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/redact"
)

// Writer writes a capture, a record per Write of the underlying writer, so
// that a capture can be watched as it grows. It is not safe for concurrent use.
type Writer struct {
	w   io.Writer
	buf []byte
}

// NewWriter writes the file header.
func NewWriter(w io.Writer) (*Writer, error) {
	le := binary.LittleEndian
	h := le.AppendUint32(make([]byte, 0, fileHeaderLen), magic)
	h = le.AppendUint16(le.AppendUint16(h, versionMajor), versionMinor)
	h = le.AppendUint64(h, 0) // time zone and accuracy, never used
	h = le.AppendUint32(le.AppendUint32(h, snapLen), LinkType)
	if _, err := w.Write(h); err != nil {
		return nil, fmt.Errorf("pcap: file header: %w", err)
	}
	return &Writer{w: w}, nil
}

// Write writes a record. Passwords and keys are masked.
func (w *Writer) Write(r Record) error {
	w.buf = r.append(w.buf[:0])
	if _, err := w.w.Write(w.buf); err != nil {
		return fmt.Errorf("pcap: %w", err)
	}
	return nil
}

// Frame writes an IPMB frame as a controller's port or a switch saw it.
func (w *Writer) Frame(at time.Time, plane ipmb.Plane, to bool, raw []byte) error {
	return w.Write(Record{
		Time: at, Channel: ipmb.ChannelIPMB, Protocol: ProtocolIPMB, Plane: plane, To: to, Data: raw,
	})
}

// System writes a message of a system interface: netFn/LUN, command, data.
func (w *Writer) System(at time.Time, to bool, msg []byte) error {
	return w.Write(Record{
		Time: at, Channel: ipmb.ChannelSystem, Protocol: ProtocolKCS, To: to, Data: msg,
	})
}

// Text writes a remark.
func (w *Writer) Text(at time.Time, text string) error {
	return w.Write(Record{Time: at, Block: BlockText, Data: []byte(text)})
}

func (r Record) append(b []byte) []byte {
	le := binary.LittleEndian
	data := r.masked()
	kept := data[:min(len(data), MaxData)]
	b = le.AppendUint32(b, uint32(r.Time.Unix()))
	b = le.AppendUint32(b, uint32(r.Time.Nanosecond()/int(time.Microsecond)))
	b = le.AppendUint32(b, uint32(traceHeaderLen+len(kept)))
	b = le.AppendUint32(b, uint32(traceHeaderLen+len(data)))
	b = append(b, byte(r.Block&blockMask)<<blockShift|r.Channel&channelMask)
	b = le.AppendUint32(b, uint32(r.Time.Unix()))
	b = le.AppendUint16(b, uint16(r.Time.Nanosecond()/int(time.Millisecond)))
	b = append(b, byte(r.Protocol))
	b = le.AppendUint16(b, r.flags())
	return append(append(b, byte(len(kept))), kept...)
}

func (r Record) masked() []byte {
	switch {
	case r.Block != BlockMessage:
		return r.Data
	case r.Protocol == ProtocolIPMB:
		return redact.Frame(r.Data)
	}
	return redact.System(r.Data)
}

func (r Record) flags() (f uint16) {
	if r.Plane == ipmb.PlaneB {
		f |= planeBBit
	}
	if r.To {
		f |= toBit
	}
	return f
}
