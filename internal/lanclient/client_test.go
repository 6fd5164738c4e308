package lanclient

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/rmcp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var admin = Credentials{User: "admin", Password: "secret"}

// door serves a controller with user admin on loopback: it counts what it is
// asked, and bridges to 82h alone.
type door struct {
	addr string
	key  [mc.ChannelKeyLen]byte // K_G
	done atomic.Int32
	port *echo
}

func newDoor(t *testing.T, key string) *door {
	t.Helper()
	d := new(door)
	copy(d.key[:], key)
	sessions := rmcp.NewSessions(rmcp.Config{
		Channel: 1, Suites: mc.CipherSuites,
		Active: func(uint8) (mc.ChannelSetting, bool) {
			return mc.ChannelSetting{Flags: byte(mc.AccessAlways), Limit: ipmb.PrivilegeAdmin}, true
		},
		Account: func(_ uint8, name string, _ ipmb.Privilege) (mc.Account, error) {
			if name != admin.User {
				return mc.Account{}, mc.ErrNoAccount
			}
			password := append([]byte(admin.Password), make([]byte, mc.LongPasswordLen-len(admin.Password))...)
			return mc.Account{ID: 2, Name: name, Password: password, Limit: ipmb.PrivilegeAdmin}, nil
		},
		Key: func(uint8, mc.KeyID) ([]byte, error) { return d.key[:], nil },
	})
	d.port = newEcho()
	sol := rmcp.NewSOL(rmcp.SOLConfig{
		Sessions: sessions, Console: d.port, Allowed: func(uint8) bool { return true },
		Parameter: func(n uint8) []byte {
			return map[uint8][]byte{mc.SOLEnable: {1}, mc.SOLAuth: {0xC0 | byte(ipmb.PrivilegeAdmin)}, mc.SOLAccumulate: {1, 10}, mc.SOLRetry: {7, 10}}[n]
		},
	})
	mux := ipmb.NewMux(sessions.Commands(), sol.Commands(), []ipmb.Command{
		{NetFn: ipmb.NetFnApp, Cmd: 1, Privilege: ipmb.PrivilegeUser, Do: d.count},
		{NetFn: ipmb.NetFnChassis, Cmd: 2, Privilege: ipmb.PrivilegeOperator, Data: ipmb.Exactly(1), Effect: true, Do: d.count},
		{NetFn: ipmb.NetFnApp, Cmd: 0x34, Privilege: ipmb.PrivilegeUser, Data: ipmb.AtLeast(1), Do: d.bridge},
	})
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.addr = conn.LocalAddr().String()
	serving := rmcp.NewDoor(rmcp.DoorConfig{
		Sessions: sessions, Handler: mux, SOL: sol, Count: new(mc.LANCounters), Log: slog.New(slog.DiscardHandler),
		Origin: ipmb.Origin{Speaker: ipmb.SpeakerSession, Door: ipmb.DoorLAN, Channel: 1},
		Effect: func(r *ipmb.Request) bool {
			c := mux.Lookup(r.NetFn, r.Cmd, r.Data)
			return c != nil && c.Effect
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serving.Serve(ctx, conn) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return d
}

func (d *door) count(context.Context, *ipmb.Request) ([]byte, error) {
	return []byte{byte(d.done.Add(1))}, nil
}

func (d *door) bridge(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	m, err := ipmb.ParseSendMessage(req.Data)
	if err != nil {
		return nil, err
	}
	f, err := ipmb.ParseFrame(m.Message)
	if err != nil || f.To != 0x82 {
		return nil, ipmb.ErrNAK
	}
	data, _ := d.count(ctx, req)
	return f.Reply(ipmb.Response{Data: data}).AppendBinary(nil)
}

func TestClient(t *testing.T) {
	for name, tt := range map[string]struct {
		suite Suite
		key   string
	}{"suite 3": {suite: Suite3}, "suite 17": {suite: Suite17}, "K_G": {key: "the controller's"}} {
		t.Run(name, func(t *testing.T) {
			d, who := newDoor(t, tt.key), admin
			if who.Suite = tt.suite; tt.key != "" {
				who.Key = []byte(tt.key)
			}
			c, err := Dial(t.Context(), d.addr, who)
			if err != nil {
				t.Fatal(err)
			}
			for i := range byte(70) { // past the last sequence number of a message
				got, err := c.Do(t.Context(), ipmb.NetFnApp, 1)
				if err != nil || len(got) != 1 || got[0] != i+1 {
					t.Fatalf("% x, %v", got, err)
				}
			}
			if _, err := c.Do(t.Context(), ipmb.NetFnChassis, 2, 0); err != nil {
				t.Errorf("as administrator: %v", err)
			}
			if _, err := c.Do(t.Context(), ipmb.NetFnChassis, 2); !errors.Is(err, ipmb.ErrLength) {
				t.Errorf("too short: %v", err)
			}
			if got, err := c.Bridge(t.Context(), 0x82, ipmb.NetFnApp, 1); err != nil || len(got) != 1 || got[0] != 72 {
				t.Errorf("bridged: % x, %v", got, err)
			}
			if _, err := c.Bridge(t.Context(), 0x84, ipmb.NetFnApp, 1); !errors.Is(err, ipmb.ErrNAK) {
				t.Errorf("bridged to nobody: %v", err)
			}
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	d := newDoor(t, "the controller's")
	wrong := admin
	wrong.Password = "secreT"
	var r Refused
	if _, err := Dial(t.Context(), d.addr, wrong); err == nil || errors.As(err, &r) {
		t.Errorf("wrong password: %v", err) // seen in RAKP 2 already
	}
	if _, err := Dial(t.Context(), d.addr, admin); err == nil {
		t.Error("logged in without K_G")
	}
	who := admin
	who.Key, who.Privilege = []byte("the controller's"), ipmb.PrivilegeOEM
	if _, err := Dial(t.Context(), d.addr, who); !errors.As(err, &r) {
		t.Errorf("too much privilege: %v", err)
	}
	if _, err := Dial(t.Context(), d.addr, Credentials{Suite: 8}); err == nil {
		t.Error("suite 8")
	}
}

func TestUser(t *testing.T) {
	who := admin
	who.Privilege = ipmb.PrivilegeUser
	c, err := Dial(t.Context(), newDoor(t, "").addr, who)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(t.Context(), ipmb.NetFnChassis, 2, 0); !errors.Is(err, ipmb.ErrPrivilege) {
		t.Errorf("as user: %v", err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// lossy loses every datagram but the third of those that it is given, and
// knows that no answer will come.
type lossy struct {
	Conn
	sent int
}

func (l *lossy) Write(b []byte) (int, error) {
	if l.sent++; l.sent%3 != 0 {
		return len(b), nil
	}
	return l.Conn.Write(b)
}

func (l *lossy) Read(b []byte) (int, error) {
	if l.sent%3 != 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return l.Conn.Read(b)
}

func TestRetries(t *testing.T) {
	d := newDoor(t, "")
	c, err := Dial(t.Context(), d.addr, admin)
	if err != nil {
		t.Fatal(err)
	}
	through := c.conn
	c.conn = &lossy{Conn: through}
	if got, err := c.Do(t.Context(), ipmb.NetFnApp, 1); err != nil || got[0] != 1 {
		t.Errorf("third try: % x, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Do(ctx, ipmb.NetFnApp, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	c.conn = through
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCrowd(t *testing.T) {
	d := newDoor(t, "")
	conn, err := net.Dial("udp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCrowd(t.Context(), conn, admin, rmcp.MaxSessions)
	if err != nil {
		t.Fatal(err)
	}
	const times = 70
	took, err := c.Ask(t.Context(), times, ipmb.NetFnApp, 1)
	if n := int(d.done.Load()); err != nil || len(took) != rmcp.MaxSessions*times || n < len(took) {
		t.Errorf("%d answers to %d, %v", len(took), n, err)
	}
	if _, err := c.Ask(t.Context(), 1, ipmb.NetFnApp, 2); !errors.Is(err, ipmb.ErrInvalidCommand) {
		t.Errorf("no such command: %v", err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCrowdOutside(t *testing.T) {
	conn, err := net.Dial("udp", newDoor(t, "").addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewCrowd(t.Context(), conn, admin, rmcp.MaxSessions+1); !errors.As(err, new(Refused)) {
		t.Errorf("more than there may be: %v", err)
	}
}
