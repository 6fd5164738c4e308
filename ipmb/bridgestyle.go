package ipmb

import "fmt"

// BridgeStyle is how whoever sent a tracked Send Message gets the answer of the
// controller that it was for. Clients differ in what they wait for.
type BridgeStyle string

// Styles.
const (
	// BridgeSplit has it follow the answer of the Send Message as a message of
	// its own, as specified (IPMI 2.0 §6.13.3). FreeIPMI knows nothing else.
	BridgeSplit BridgeStyle = "split"
	// BridgeEmbedded has the whole message in the answer of the Send Message.
	// pyipmi knows nothing else.
	BridgeEmbedded BridgeStyle = "embedded"
)

// Check refuses what is no style; empty is BridgeSplit.
func (s BridgeStyle) Check() error {
	switch s {
	case "", BridgeSplit, BridgeEmbedded:
		return nil
	}
	return fmt.Errorf("style: %q is neither %s nor %s", string(s), BridgeSplit, BridgeEmbedded)
}

// Apart takes the answer to f apart, if f is a tracked Send Message that was
// answered: r without data, and the message that was in it. Otherwise, or
// embedded, r is all there is.
func (s BridgeStyle) Apart(f Frame, r Response) (outer Response, inner []byte) {
	tracked := f.NetFn == NetFnApp && f.Cmd == CmdSendMessage && len(f.Data) > 0 && Tracking(f.Data[0]>>trackShift) == TrackRequest
	if s == BridgeEmbedded || !tracked || r.Code != OK || len(r.Data) == 0 {
		return r, nil
	}
	return Response{Code: OK}, r.Data
}
