package lab

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"google.golang.org/grpc"

	"github.com/midplane-project/midplane/deploy/lab/proc"
	"github.com/midplane-project/midplane/deploy/lab/supervise"
	"github.com/midplane-project/midplane/internal/port"
	"github.com/midplane-project/midplane/node"
	"github.com/midplane-project/midplane/node/power"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf"
	"github.com/midplane-project/midplane/shelf/front"
)

// serveFake serves a daemon's API until ctx ends.
func serveFake(ctx context.Context, api string, register func(*grpc.Server)) error {
	ln, err := port.ListenUnix(strings.TrimPrefix(api, "unix:"), 0o600, "")
	if err != nil {
		return err
	}
	s := grpc.NewServer()
	register(s)
	stop := context.AfterFunc(ctx, s.Stop)
	defer stop()
	return s.Serve(ln)
}

// replicaFake is a replica whose cluster always has shm1 as its leader.
type replicaFake struct {
	v1.UnimplementedClusterServer
	name string
}

func (f replicaFake) Status(context.Context, *v1.ClusterStatusRequest) (*v1.ClusterStatusResponse, error) {
	return &v1.ClusterStatusResponse{Replica: f.name, Leader: "shm1", Term: 1, Members: []*v1.Member{{Name: f.name, Voter: true}}}, nil
}

func fakeReplica(ctx context.Context, args []string) error {
	c, err := shelf.ReadConfig(args[1])
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	defer ln.Close()
	return serveFake(ctx, c.API, func(s *grpc.Server) { v1.RegisterClusterServer(s, replicaFake{name: c.Name}) })
}

// fakeFront answers whatever comes.
func fakeFront(ctx context.Context, args []string) error {
	c, err := front.ReadConfig(args[1])
	if err != nil {
		return err
	}
	conn, err := net.ListenPacket("udp", c.Listen)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	for b := make([]byte, 64); ; {
		_, from, err := conn.ReadFrom(b)
		if err != nil {
			return nil
		}
		if _, err := conn.WriteTo(b[:1], from); err != nil {
			return err
		}
	}
}

// nodeFake is a node that is attached, and starts its VM.
type nodeFake struct {
	v1.UnimplementedNodeServer
	c  *node.Config
	mu sync.Mutex
}

func (f *nodeFake) Status(context.Context, *v1.NodeStatusRequest) (*v1.NodeStatusResponse, error) {
	s := &v1.NodeStatusResponse{Name: f.c.Name, Pid: int32(os.Getpid()), VmState: "none", Uplinks: []*v1.UplinkStatus{{Connected: true}}}
	if f.c.VM != nil {
		ids, err := supervise.FindVM(f.c.VM.UUID)
		if err != nil {
			return nil, err
		}
		s.VmState = "off"
		if len(ids) > 0 {
			s.VmState, s.VmLink = "running", true
		}
	}
	return s, nil
}

func (f *nodeFake) Power(context.Context, *v1.PowerRequest) (*v1.PowerResponse, error) {
	return &v1.PowerResponse{}, f.startVM()
}

// startVM starts the VM unless it runs, or was killed on purpose.
func (f *nodeFake) startVM() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.c.VM == nil {
		return nil
	}
	if _, err := os.Stat(filepath.Join(f.c.Dir, node.HoldFile)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if ids, err := supervise.FindVM(f.c.VM.UUID); err != nil || len(ids) > 0 {
		return err
	}
	argv, err := power.Args(*f.c.VM)
	if err != nil {
		return err
	}
	p, err := proc.Start(argv, filepath.Join(f.c.Dir, "qemu.log"))
	if err == nil {
		go func() { <-p.Done(); p.Close() }()
	}
	return err
}

// A node of this profile ends with errFake.
const profileOfFailure = "server"

var errFake = errors.New("this node was told to fail")

// awaitHeir ends the context that it gives when a successor has come, which
// handOver lets go on.
func awaitHeir(ctx context.Context, c node.Config) (_ context.Context, handOver func(), err error) {
	ln, err := node.ListenSuccessor(c)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	heir := make(chan net.Conn, 1)
	go func() {
		defer cancel()
		if conn, err := ln.Accept(); err == nil {
			heir <- conn
		}
	}()
	return ctx, func() {
		ln.Close()
		select {
		case conn := <-heir:
			bufio.NewReader(conn).ReadString('\n')
			conn.Write([]byte("{}"))
			conn.Close()
		default:
		}
	}, nil
}

func fakeNode(ctx context.Context, args []string) error {
	c, err := node.ReadConfig(args[1])
	if err != nil {
		return err
	}
	if c.Profile == profileOfFailure {
		return errFake
	}
	if _, err := node.TakeOver(ctx, *c); err != nil {
		return err
	}
	ctx, handOver, err := awaitHeir(ctx, *c)
	if err != nil {
		return err
	}
	defer handOver() // last of all
	if c.LAN.Listen != "" {
		door, err := net.ListenPacket("udp", c.LAN.Listen)
		if err != nil {
			return err
		}
		defer door.Close()
	}
	f := &nodeFake{c: c}
	if err := f.startVM(); err != nil {
		return err
	}
	return serveFake(ctx, c.API, func(s *grpc.Server) { v1.RegisterNodeServer(s, f) })
}
