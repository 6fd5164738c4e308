package ipmb

import "context"

// Request is one command to a controller.
type Request struct {
	NetFn  NetFn
	LUN    LUN // responder's LUN
	Cmd    Cmd
	Data   []byte // what follows the command byte
	Origin Origin
}

// Response is what a controller answers. Data follows the completion code.
type Response struct {
	Code CompletionCode
	Data []byte
}

// Err gives the completion code as an error, nil for OK.
func (r Response) Err() error {
	if r.Code == OK {
		return nil
	}
	return r.Code
}

// Handler answers requests. It must not keep req or its data after it returned.
type Handler interface {
	ServeIPMI(ctx context.Context, req *Request) Response
}

// HandlerFunc lets a function be a [Handler].
type HandlerFunc func(ctx context.Context, req *Request) Response

// ServeIPMI calls f.
func (f HandlerFunc) ServeIPMI(ctx context.Context, req *Request) Response { return f(ctx, req) }
