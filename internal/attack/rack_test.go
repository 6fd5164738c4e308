package attack

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/midplane-project/midplane/internal/inmem"
	"github.com/midplane-project/midplane/internal/logtest"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/picmg"
	"github.com/midplane-project/midplane/node"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf"
	"github.com/midplane-project/midplane/shelf/cluster/clustertest"
)

const (
	shelfName = "rack"
	replica   = "shm1"
	clusterID = "00000000-0000-4000-8000-00000000000a"
)

// Who is attacked, and by whom.
const (
	attacker ipmb.Addr = 0x82
	victim   ipmb.Addr = 0x84
	third    ipmb.Addr = 0x86
	manager            = ipmb.AddrShelfManager
)

// rack is a shelf of three boards with guests and doors. Only the streams
// between boards and shelf manager are in memory.
type rack struct {
	t      testing.TB
	bus    *inmem.Network
	blades map[ipmb.Addr]*blade
	shelf  *shelf.Replica
	log    *logtest.Book // the shelf manager's
}

func newRack(t testing.TB) *rack {
	t.Helper()
	bus := inmem.NewNetwork()
	r := &rack{t: t, bus: bus, blades: make(map[ipmb.Addr]*blade), log: new(logtest.Book)}
	t.Cleanup(bus.Wait)
	r.openShelf(bus)
	for slot := 1; slot <= 3; slot++ {
		r.blades[ipmb.SlotAddr(slot)] = start(t, node.Config{
			Shelf: shelfName, Slot: slot, Name: fmt.Sprintf("blade%d", slot), Profile: node.ProfileATCA, PKI: "unused",
			Replicas: []node.Replica{{Name: replica, Address: replica}},
		}, node.Options{Dial: bus.Dialer(fmt.Sprintf("blade%d", slot))}, new(logtest.Book))
	}
	for to := range r.blades {
		r.await(to)
	}
	return r
}

func (r *rack) openShelf(bus *inmem.Network) {
	r.t.Helper()
	s, err := shelf.Open(shelf.Config{
		Name: replica, Dir: filepath.Join(shortDir(r.t), replica), Listen: replica, Expect: 1, Timing: "lab",
		PKI: "unused", Cluster: clusterID, Shelves: []shelf.Declared{{Name: shelfName}},
	}, shelf.Options{Log: r.log.Logger(slog.LevelInfo), Memory: &shelf.Memory{
		Raft: clustertest.NewNetwork().Transport(replica), Bus: bus.Dialer(replica),
		Serve: func(s v1.BackplaneServer) func() { return bus.Serve(replica, s) },
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			r.t.Error(err)
		}
		if r.t.Failed() {
			r.t.Logf("%s said:\n%s", replica, r.log)
		}
	})
	r.shelf = s
}

// await waits until a board is active and reports to the shelf manager: nothing
// of it changes of its own accord any more.
func (r *rack) await(to ipmb.Addr) {
	r.t.Helper()
	ask := func(cmd ipmb.Cmd, data ...byte) ([]byte, error) {
		got, err := r.shelf.Raw(r.t.Context(), shelfName, to, r.request(ipmb.NetFnSensor, cmd, data...))
		return got.Data, errors.Join(err, got.Err())
	}
	for deadline := time.Now().Add(time.Minute); ; {
		state, err1 := ask(0x2D, hotSwapSensor)
		receiver, err2 := ask(0x01)
		if err1 == nil && err2 == nil && state[2] == active && receiver[0] == byte(manager) {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%v: state % x, %v; receiver % x, %v", to, state, err1, receiver, err2)
		}
		time.Sleep(10 * time.Millisecond) // the shelf manager's steps tell nobody
	}
}

// request is one of the shelf's own administrator.
func (r *rack) request(n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) *ipmb.Request {
	return &ipmb.Request{NetFn: n, Cmd: cmd, Data: data, Origin: ipmb.Origin{
		Speaker: ipmb.SpeakerAPI, Door: ipmb.DoorAPI, Privilege: ipmb.PrivilegeAdmin, Shelf: shelfName, Source: manager,
	}}
}

// ask asks a controller for the shelf's administrator.
func (r *rack) ask(to ipmb.Addr, n ipmb.NetFn, cmd ipmb.Cmd, data ...byte) string {
	r.t.Helper()
	got, err := r.shelf.Raw(r.t.Context(), shelfName, to, r.request(n, cmd, data...))
	if err != nil {
		r.t.Fatalf("%v: %v", to, err)
	}
	return fmt.Sprintf("% x", append([]byte{byte(got.Code)}, got.Data...))
}

const (
	hotSwapSensor = picmg.SensorFRUState
	active        = 1 << 4 // M4
)
