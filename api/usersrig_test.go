package api

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/midplane-project/midplane/internal/authz"
	"github.com/midplane-project/midplane/internal/inmem"
	"github.com/midplane-project/midplane/internal/logtest"
	"github.com/midplane-project/midplane/internal/trust"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf"
	"github.com/midplane-project/midplane/shelf/cluster/clustertest"
)

// usersRig is a controller whose users are served, as callers of all roles
// reach it.
type usersRig struct {
	conn *grpc.ClientConn
	log  *logtest.Book
	logs []*logtest.Book // of all who take part
	// raw asks the controller itself.
	raw func(cmd ipmb.Cmd, data ...byte) ipmb.Response
}

// callerKey has the subject of who calls, in place of a certificate.
const callerKey = "test-caller"

// as gives a context in which somebody calls; nobody has no certificate.
func as(ctx context.Context, subject string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, callerKey, subject)
}

const nobody = ""

func identify(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if subject := metadata.ValueFromIncomingContext(ctx, callerKey); len(subject) == 1 && subject[0] != nobody {
		id, err := trust.ParseSubject("c", subject[0])
		if err != nil {
			return nil, err
		}
		ctx = trust.WithIdentity(ctx, id)
	}
	return next(ctx, req)
}

// serve serves by a policy. What it gives connects to it as a subject, or as
// contexts say.
func serve(t *testing.T, policy authz.Policy, register func(*grpc.Server)) func(subject string) (*grpc.ClientConn, error) {
	t.Helper()
	ln := bufconn.Listen(1 << 16)
	s := grpc.NewServer(append([]grpc.ServerOption{grpc.ChainUnaryInterceptor(identify)}, policy.ServerOptions()...)...)
	register(s)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func(subject string) (*grpc.ClientConn, error) {
		own := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			if subject != nobody {
				ctx = as(ctx, subject)
			}
			return next(ctx, method, req, reply, cc, opts...)
		}
		return grpc.NewClient("passthrough:///users", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUnaryInterceptor(own),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return ln.DialContext(ctx) }))
	}
}

func (r *usersRig) connect(t *testing.T, dial func(string) (*grpc.ClientConn, error)) {
	t.Helper()
	var err error
	if r.conn, err = dial(nobody); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.conn.Close() })
}

// shortDir is for sockets, and for state that is synced often: in memory where
// there is such.
func shortDir(t *testing.T) string {
	t.Helper()
	parent := ""
	if i, err := os.Stat("/dev/shm"); err == nil && i.IsDir() {
		parent = "/dev/shm"
	}
	dir, err := os.MkdirTemp(parent, "api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// nodeRig is a lone node, whose first user is made as its LAN door's is. Its
// serial port has sessions, too.
func nodeRig(t *testing.T) *usersRig {
	t.Helper()
	dir, r := shortDir(t), &usersRig{log: new(logtest.Book)}
	n, err := node.New(node.Config{
		Dir: dir, Name: "n", Interface: "kcs", Listen: []node.Listen{{Address: "unix:" + filepath.Join(dir, "vm")}},
		Serial: []node.SerialPort{{Mode: "basic", Listen: "unix:" + filepath.Join(dir, "serial")}},
	}, node.Options{Log: r.log.Logger(slog.LevelInfo)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	r.logs = []*logtest.Book{r.log}
	r.connect(t, serve(t, NodePolicy, func(s *grpc.Server) { RegisterNode(s, n) }))
	r.raw = func(cmd ipmb.Cmd, data ...byte) ipmb.Response { return n.ServeIPMI(t.Context(), adminAsks(cmd, data)) }
	r.wants(t, &v1.AddUserRequest{Name: "admin", Password: "Sesame0123456789", Privilege: 4}, "2 admin on 4 -")
	return r
}

func adminAsks(cmd ipmb.Cmd, data []byte) *ipmb.Request {
	return &ipmb.Request{
		NetFn: ipmb.NetFnApp, Cmd: cmd, Data: data,
		Origin: ipmb.Origin{Speaker: ipmb.SpeakerAPI, Door: ipmb.DoorAPI, Privilege: ipmb.PrivilegeAdmin},
	}
}

// followerRig is a replica that does not lead, so that it passes on what it is
// asked. Its shelf has its first administrator.
func followerRig(t *testing.T) *usersRig {
	t.Helper()
	const of = 3
	dir, bus, raft := shortDir(t), inmem.NewNetwork(), clustertest.NewNetwork()
	t.Cleanup(bus.Wait)
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	door := shelf.LANDoor{Key: file("key", strings.Repeat("k", 32)), Password: file("password", "Sesame0123456789\n")}
	var replicas [of]*shelf.Replica
	var logs [of]*logtest.Book
	dials := make(map[string]func(string) (*grpc.ClientConn, error))
	var mu sync.Mutex
	for i := range of {
		name, one, seeds := fmt.Sprint("shm", i+1), door, []string(nil)
		for j := range of {
			if j != i {
				seeds = append(seeds, fmt.Sprint("shm", j+1))
			}
		}
		one.Listen, logs[i] = "unix:"+filepath.Join(dir, name+".lan"), new(logtest.Book)
		r, err := shelf.Open(shelf.Config{
			Name: name, Dir: filepath.Join(dir, name), Listen: name, Expect: of, Seeds: seeds, Timing: "lan", PKI: "unused",
			Cluster: "00000000-0000-4000-8000-00000000000a", Shelves: []shelf.Declared{{Name: "rack", LAN: &one}},
		}, shelf.Options{Log: logs[i].Logger(slog.LevelInfo), Memory: &shelf.Memory{
			Raft: raft.Transport(name), Bus: bus.Dialer(name),
			Serve: func(s v1.BackplaneServer) func() { return bus.Serve(name, s) },
			API: func(addr string) (*grpc.ClientConn, error) {
				mu.Lock()
				defer mu.Unlock()
				return dials[addr]("replica/" + name)
			},
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		replicas[i] = r
		mu.Lock()
		dials[name] = serve(t, ReplicaPolicy, func(s *grpc.Server) { RegisterReplica(s, r) })
		mu.Unlock()
	}
	leads := awaitLeader(t, replicas[:])
	follower := (leads + 1) % of
	rig := &usersRig{log: logs[follower], logs: logs[:], raw: func(cmd ipmb.Cmd, data ...byte) ipmb.Response {
		a, err := replicas[awaitLeader(t, replicas[:])].Raw(t.Context(), "rack", ipmb.AddrShelfManager, adminAsks(cmd, data))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}}
	rig.connect(t, dials[replicas[follower].Name()])
	off := false
	rig.wants(t, &v1.ChangeUserRequest{Id: 2, Sol: &off}, "2 admin on 4 -") // as the node's
	return rig
}

// awaitLeader waits for a leader whose shelf has its administrator.
func awaitLeader(t *testing.T, replicas []*shelf.Replica) int {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) { // nobody tells of users
		for i, r := range replicas {
			a, err := r.Raw(t.Context(), "rack", ipmb.AddrShelfManager, adminAsks(cmdGetUserAccess, []byte{lanChannel, 2}))
			if err == nil && len(a.Data) == 4 && a.Data[1]&statusMask == statusEnabled {
				return i
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody leads")
		}
	}
}

// ask carries a request out as a subject and says in a line what came of it.
func (r *usersRig) ask(ctx context.Context, subject string, q any) string {
	c, one := v1.NewUsersClient(r.conn), func(u *v1.User, err error) string { return told(userLine(u), err) }
	ctx = as(ctx, subject)
	switch q := q.(type) {
	case *v1.AddUserRequest:
		return one(c.Add(ctx, q))
	case *v1.ChangeUserRequest:
		return one(c.Change(ctx, q))
	case *v1.RemoveUserRequest:
		_, err := c.Remove(ctx, q)
		return told("removed", err)
	case *v1.ListUsersRequest:
		m, err := c.List(ctx, q)
		lines := make([]string, 0, len(m.GetUsers()))
		for _, u := range m.GetUsers() {
			lines = append(lines, userLine(u))
		}
		return told(strings.Join(lines, ", "), err)
	}
	panic(fmt.Sprintf("%T", q))
}

func told(line string, err error) string {
	if s := status.Convert(err); s.Code() != codes.OK {
		return s.Code().String() + ": " + s.Message()
	}
	return line
}

func userLine(u *v1.User) string {
	enabled, sol := "off", "-"
	if u.GetEnabled() {
		enabled = "on"
	}
	if u.GetSol() {
		sol = "sol"
	}
	return fmt.Sprintf("%d %s %s %d %s", u.GetId(), u.GetName(), enabled, u.GetPrivilege(), sol)
}

// wants asks as an administrator and compares the beginning of what comes of it.
func (r *usersRig) wants(t *testing.T, q any, want string) {
	t.Helper()
	if got := r.ask(t.Context(), "admin/root", q); !strings.HasPrefix(got, want) {
		t.Errorf("%v\n got  %s\n want %s", q, got, want)
	}
}

// clean removes everybody but the first administrator.
func (r *usersRig) clean(t *testing.T) {
	t.Helper()
	for _, line := range strings.Split(r.ask(t.Context(), "admin/root", &v1.ListUsersRequest{}), ", ") {
		var id uint32
		if _, err := fmt.Sscan(line, &id); err != nil {
			t.Fatal(line)
		}
		if id > 2 {
			r.wants(t, &v1.RemoveUserRequest{Id: id}, "removed")
		}
	}
	r.wants(t, &v1.ListUsersRequest{}, "2 admin on 4 -")
}
