package ipmb

import (
	"bytes"
	"testing"
)

func TestBridgeStyle(t *testing.T) {
	tracked := Frame{NetFn: NetFnApp, Cmd: CmdSendMessage, Data: []byte{0x40, 1}}
	untracked, other, empty := tracked, tracked, tracked
	untracked.Data, other.Cmd, empty.Data = []byte{0x00, 1}, 0x35, nil
	data := []byte{1, 2, 3}
	for name, c := range map[string]struct {
		style BridgeStyle
		f     Frame
		r     Response
		apart bool
	}{
		"split":     {BridgeSplit, tracked, Response{Data: data}, true},
		"default":   {"", tracked, Response{Data: data}, true},
		"embedded":  {BridgeEmbedded, tracked, Response{Data: data}, false},
		"untracked": {BridgeSplit, untracked, Response{Data: data}, false},
		"other":     {BridgeSplit, other, Response{Data: data}, false},
		"no data":   {BridgeSplit, empty, Response{Data: data}, false},
		"nobody":    {BridgeSplit, tracked, Response{Code: ErrNAK}, false},
		"refused":   {BridgeSplit, tracked, Response{Code: ErrNAK, Data: data}, false},
	} {
		outer, inner := c.style.Apart(c.f, c.r)
		if c.apart && (outer.Data != nil || !bytes.Equal(inner, data)) ||
			!c.apart && (inner != nil || outer.Code != c.r.Code || !bytes.Equal(outer.Data, c.r.Data)) {
			t.Errorf("%s: %v, % x", name, outer, inner)
		}
	}
	if BridgeStyle("both").Check() == nil || BridgeSplit.Check() != nil || BridgeStyle("").Check() != nil {
		t.Error("check")
	}
}
