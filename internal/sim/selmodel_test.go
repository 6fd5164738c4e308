package sim_test

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"

	"github.com/midplane-project/midplane/ipmb"
)

// selOp is an operation on the SEL at 20h.
type selOp struct {
	kind        string // add, get, info, reserve, delete or clear
	payload     uint32 // of add
	id          uint16 // of get and delete
	reservation uint16 // of delete and clear; 0: none
}

// reads reports whether it changes nothing.
func (o selOp) reads() bool { return o.kind == "get" || o.kind == "info" || o.kind == "reserve" }

// selResult is its outcome.
type selResult struct {
	code  ipmb.CompletionCode
	value uint16 // id of add and delete, next of get, records of info, reservation of reserve
	data  uint32 // payload of get
}

// request makes the IPMI request of an operation.
func (o selOp) request() *ipmb.Request {
	rq := &ipmb.Request{NetFn: ipmb.NetFnStorage, Origin: ipmb.Origin{Speaker: ipmb.SpeakerAPI, Door: ipmb.DoorAPI, Privilege: ipmb.PrivilegeAdmin}}
	both := binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, o.reservation), o.id)
	switch o.kind {
	case "add":
		record := make([]byte, 16)
		record[2] = 0xE0
		binary.LittleEndian.PutUint32(record[12:], o.payload)
		rq.Cmd, rq.Data = 0x44, record
	case "get":
		rq.Cmd, rq.Data = 0x43, append(both, 0, 0xFF)
	case "info":
		rq.Cmd = 0x40
	case "reserve":
		rq.Cmd = 0x42
	case "delete":
		rq.Cmd, rq.Data = 0x46, both
	case "clear":
		rq.Cmd, rq.Data = 0x47, append(both[:2:2], 'C', 'L', 'R', 0xAA)
	}
	return rq
}

// result reads an answer; known is false for codes that say that the outcome is not.
func (o selOp) result(r ipmb.Response) (out selResult, known bool) {
	out.code = r.Code
	switch r.Code {
	case ipmb.OK:
	case ipmb.ErrReservation, ipmb.ErrNotPresent:
		return out, true
	default:
		return out, false
	}
	switch o.kind {
	case "add", "reserve", "delete":
		out.value = binary.LittleEndian.Uint16(r.Data)
	case "info":
		out.value = binary.LittleEndian.Uint16(r.Data[1:])
	case "get":
		out.value, out.data = binary.LittleEndian.Uint16(r.Data), binary.LittleEndian.Uint32(r.Data[2+12:])
	}
	return out, true
}

// selState is a SEL: its records, and how many records were ever added and
// erasures done.
type selState struct {
	rows          []selRow
	added, erased int
}

type selRow struct {
	id      uint16
	payload uint32
}

func (s selState) reservation() uint16 { return uint16(s.erased + 1) }

func (s selState) find(id uint16) int {
	switch {
	case len(s.rows) == 0:
		return -1
	case id == 0:
		return 0
	case id == 0xFFFF:
		return len(s.rows) - 1
	}
	return slices.IndexFunc(s.rows, func(r selRow) bool { return r.id == id })
}

// clearedMark is where a payload stands in the record that a clear leaves behind
// ("log area cleared": sensor-specific, event data 02h FFh FFh).
const clearedMark = 0xFFFF026F

// apply does an operation and gives what a SEL would answer.
func (s selState) apply(o selOp) (selState, selResult) {
	switch o.kind {
	case "add":
		s.added++
		s.rows = append(slices.Clone(s.rows), selRow{uint16(s.added), o.payload})
		return s, selResult{value: uint16(s.added)}
	case "info":
		return s, selResult{value: uint16(len(s.rows))}
	case "reserve":
		return s, selResult{value: s.reservation()}
	case "get":
		return s, s.get(o.id)
	}
	if (o.reservation != 0 || o.kind == "clear") && o.reservation != s.reservation() {
		return s, selResult{code: ipmb.ErrReservation}
	}
	if o.kind == "clear" {
		first := selRow{uint16(s.added + 1), clearedMark}
		return selState{rows: []selRow{first}, added: s.added + 1, erased: s.erased + 1}, selResult{}
	}
	i := s.find(o.id)
	if i < 0 {
		return s, selResult{code: ipmb.ErrNotPresent}
	}
	id := s.rows[i].id
	s.rows = slices.Delete(slices.Clone(s.rows), i, i+1)
	s.erased++
	return s, selResult{value: id}
}

func (s selState) get(id uint16) selResult {
	i := s.find(id)
	if i < 0 {
		return selResult{code: ipmb.ErrNotPresent}
	}
	next := uint16(0xFFFF)
	if i+1 < len(s.rows) {
		next = s.rows[i+1].id
	}
	return selResult{value: next, data: s.rows[i].payload}
}

// selModel is the SEL as one that no failure ever touches.
var selModel = porcupine.Model{
	Init: func() any { return selState{} },
	Step: func(state, input, output any) (bool, any) {
		next, want := state.(selState).apply(input.(selOp))
		return output == nil || output == want, next
	},
	Equal: func(a, b any) bool {
		x, y := a.(selState), b.(selState)
		return x.added == y.added && x.erased == y.erased && slices.Equal(x.rows, y.rows)
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
	DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
}
