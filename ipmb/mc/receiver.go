package mc

import (
	"context"
	"sync"

	"github.com/midplane-project/midplane/ipmb"
)

// ReceiverNone disables a controller's events (IPMI 2.0 §29.1).
const ReceiverNone ipmb.Addr = 0xFF

// Receiver is where events go.
type Receiver struct {
	Addr ipmb.Addr
	LUN  ipmb.LUN
}

// EventReceiver is a controller's event receiver setting. Save is called with
// each new value before it holds.
type EventReceiver struct {
	Save func(Receiver) error

	mu  sync.Mutex
	set Receiver
}

// NewEventReceiver starts with a stored value.
func NewEventReceiver(stored Receiver, save func(Receiver) error) *EventReceiver {
	return &EventReceiver{Save: save, set: stored}
}

// Get is the current receiver.
func (e *EventReceiver) Get() Receiver {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.set
}

// Set stores and takes a new receiver.
func (e *EventReceiver) Set(r Receiver) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r == e.set {
		return nil
	}
	if err := e.Save(r); err != nil {
		return err
	}
	e.set = r
	return nil
}

// Commands gives Set and Get Event Receiver.
func (e *EventReceiver) Commands() []ipmb.Command {
	return []ipmb.Command{
		{
			Name: "Set Event Receiver", NetFn: ipmb.NetFnSensor, Cmd: 0x00, Privilege: ipmb.PrivilegeAdmin,
			Data: ipmb.Exactly(2), Effect: true, Ref: "IPMI 2.0 §29.1",
			Do: func(_ context.Context, req *ipmb.Request) ([]byte, error) {
				r := Receiver{ipmb.Addr(req.Data[0]), ipmb.LUN(req.Data[1] & 0x03)}
				if r.Addr != ReceiverNone && !r.Addr.Valid() {
					return nil, ipmb.ErrInvalidField
				}
				return nil, e.Set(r)
			},
		},
		{
			Name: "Get Event Receiver", NetFn: ipmb.NetFnSensor, Cmd: 0x01, Privilege: ipmb.PrivilegeUser,
			Ref: "IPMI 2.0 §29.2",
			Do: func(context.Context, *ipmb.Request) ([]byte, error) {
				r := e.Get()
				return []byte{byte(r.Addr), byte(r.LUN)}, nil
			},
		},
	}
}
