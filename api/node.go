package api

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/node"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/power/agent"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// chunk is how much of a file travels in one message, in bytes.
const chunk = 48 << 10

// NodeServer serves one node.
type NodeServer struct {
	v1.UnimplementedNodeServer
	node *node.Node
}

// RegisterNode adds the node's services to s, which must enforce [NodePolicy].
func RegisterNode(s *grpc.Server, n *node.Node) {
	v1.RegisterNodeServer(s, &NodeServer{node: n})
	addCommon(s)
}

// Status implements v1.NodeServer.
func (s *NodeServer) Status(context.Context, *v1.NodeStatusRequest) (*v1.NodeStatusResponse, error) {
	return s.node.Status(), nil
}

// Raw implements v1.NodeServer.
func (s *NodeServer) Raw(ctx context.Context, r *v1.RawRequest) (*v1.RawResponse, error) {
	req, err := rawRequest(r)
	if err != nil {
		return nil, err
	}
	return rawResponse(s.node.ServeIPMI(ctx, req)), nil
}

// Trace implements v1.NodeServer.
func (s *NodeServer) Trace(r *v1.TraceRequest, stream v1.Node_TraceServer) error {
	return follow(s.node.Watch(), r, stream)
}

// Power implements v1.NodeServer.
func (s *NodeServer) Power(ctx context.Context, r *v1.PowerRequest) (*v1.PowerResponse, error) {
	if err := s.node.Power(ctx, r.Action); err != nil {
		return nil, vmError(err)
	}
	return &v1.PowerResponse{VmState: s.node.VMState()}, nil
}

// vmError names what stands in the way of reaching the VM.
func vmError(err error) error {
	var refused *agent.Error
	switch {
	case errors.Is(err, node.ErrNoVM):
		return status.Error(codes.FailedPrecondition, err.Error())
	case errors.As(err, &refused): // the guest's own words: no such file, no such program
		return status.Error(codes.NotFound, err.Error())
	}
	if c := codeOf(err); c != codes.Unknown {
		return status.Error(c, err.Error())
	}
	return status.Error(codes.Unavailable, err.Error())
}

// Console implements v1.NodeServer. The first message says what is wanted.
func (s *NodeServer) Console(stream v1.Node_ConsoleServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	c := &consoleStream{stream: stream, rest: first.Data}
	a := attachment(first)
	a.Joined = func(seat *power.Seat) {
		c.sendBreak = func() error { return s.node.Break(stream.Context(), seat) }
	}
	if err := s.node.Attach(stream.Context(), c, a); err != nil {
		return vmError(err)
	}
	return nil
}

// attachment is what a first message asks for.
func attachment(m *v1.ConsoleRequest) power.Attachment {
	a := power.Attachment{Replay: int(m.Replay), Log: m.Log, Times: m.Times, Leave: m.Leave}
	if m.Since != 0 {
		a.Since = time.Unix(0, m.Since)
	}
	switch {
	case m.Write && m.Steal:
		a.Mode = power.TakeOver
	case m.Write && m.Watch:
		a.Mode = power.TypeOrWatch
	case m.Write:
		a.Mode = power.Type
	}
	return a
}

// consoleStream makes a reader and writer of a stream.
type consoleStream struct {
	writing   sync.Mutex // a notice comes from the one who reads
	stream    v1.Node_ConsoleServer
	rest      []byte
	sendBreak func() error // set before the first Read
	then      bool         // a break follows rest
}

func (c *consoleStream) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		if c.then {
			c.then = false
			if err := c.sendBreak(); err != nil {
				_, _ = c.Write([]byte("\r\n[no break: " + err.Error() + "]\r\n"))
			}
		}
		m, err := c.stream.Recv()
		if err != nil {
			return 0, io.EOF
		}
		c.rest, c.then = m.Data, m.Break
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *consoleStream) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.stream.Send(&v1.ConsoleResponse{Data: append([]byte(nil), p...)}); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Exec implements v1.NodeServer.
func (s *NodeServer) Exec(r *v1.ExecRequest, stream v1.Node_ExecServer) error {
	if len(r.Argv) == 0 {
		return status.Error(codes.InvalidArgument, "no command")
	}
	a, err := s.node.Agent()
	if err != nil {
		return vmError(err)
	}
	ctx := stream.Context()
	if r.TimeoutSeconds > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.TimeoutSeconds)*time.Second)
		defer cancel()
	}
	res, err := a.Exec(ctx, agent.Command{Path: r.Argv[0], Args: r.Argv[1:], Env: r.Env, Stdin: r.Input})
	if err != nil {
		return vmError(err)
	}
	return sendResult(stream, res)
}

func sendResult(stream v1.Node_ExecServer, res agent.Result) error {
	for len(res.Stdout) > 0 || len(res.Stderr) > 0 {
		m := &v1.ExecResponse{Stdout: head(&res.Stdout), Stderr: head(&res.Stderr)}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return stream.Send(&v1.ExecResponse{Exited: true, ExitCode: int32(res.ExitCode), Signal: int32(res.Signal)})
}

// head takes at most a chunk off the front of *b.
func head(b *[]byte) []byte {
	n := min(len(*b), chunk)
	out := (*b)[:n]
	*b = (*b)[n:]
	return out
}

// CopyTo implements v1.NodeServer.
func (s *NodeServer) CopyTo(stream v1.Node_CopyToServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	a, err := s.node.Agent()
	if err != nil {
		return vmError(err)
	}
	in := &uploadReader{stream: stream, rest: first.Data}
	if err := a.CopyTo(stream.Context(), in, first.Path); err != nil {
		return vmError(err)
	}
	if err := s.chmod(stream.Context(), a, first); err != nil {
		return err
	}
	return stream.SendAndClose(&v1.CopyToResponse{Size: in.size})
}

// chmod gives the guest's file its mode; the agent's own file commands cannot.
func (s *NodeServer) chmod(ctx context.Context, a *agent.Client, first *v1.CopyToRequest) error {
	if first.Mode == 0 {
		return nil
	}
	res, err := a.Exec(ctx, agent.Command{Path: "chmod", Args: []string{octal(first.Mode), first.Path}})
	if err != nil {
		return vmError(err)
	}
	if res.ExitCode != 0 {
		return status.Errorf(codes.Unknown, "chmod in the guest: %s", res.Stderr)
	}
	return nil
}

func octal(mode uint32) string {
	const digits = "01234567"
	return string([]byte{digits[mode>>9&7], digits[mode>>6&7], digits[mode>>3&7], digits[mode&7]})
}

type uploadReader struct {
	stream v1.Node_CopyToServer
	rest   []byte
	size   uint64
}

func (u *uploadReader) Read(p []byte) (int, error) {
	for len(u.rest) == 0 {
		m, err := u.stream.Recv()
		if err != nil {
			return 0, err // io.EOF at the end of the file
		}
		u.rest = m.Data
	}
	n := copy(p, u.rest)
	u.rest = u.rest[n:]
	u.size += uint64(n)
	return n, nil
}

// CopyFrom implements v1.NodeServer.
func (s *NodeServer) CopyFrom(r *v1.CopyFromRequest, stream v1.Node_CopyFromServer) error {
	a, err := s.node.Agent()
	if err != nil {
		return vmError(err)
	}
	if err := a.CopyFrom(stream.Context(), r.Path, downloadWriter{stream}); err != nil {
		return vmError(err)
	}
	return nil
}

type downloadWriter struct{ stream v1.Node_CopyFromServer }

func (d downloadWriter) Write(p []byte) (int, error) {
	rest := append([]byte(nil), p...)
	for len(rest) > 0 {
		if err := d.stream.Send(&v1.CopyFromResponse{Data: head(&rest)}); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
