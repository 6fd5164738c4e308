package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/picmg"
)

// Commands that guests use.
const (
	cmdPlatformEvent    ipmb.Cmd = 0x02
	cmdGetEventReceiver ipmb.Cmd = 0x01
	cmdGetSELEntry      ipmb.Cmd = 0x43
	cmdAddSELEntry      ipmb.Cmd = 0x44
	cmdClearSEL         ipmb.Cmd = 0x47

	netFnEcho ipmb.NetFn = 0x30 // of the software in each guest
	cmdEcho   ipmb.Cmd   = 0x55

	recordOEM    = 0xE0 // without timestamp: all of it is the sender's
	evmRev       = 0x04
	eventSensor  = 0x12
	eventOEMType = 0x70
)

// Guest is the software of one VM: a driver, and some programs on it.
type Guest struct {
	w      *World
	name   string
	slot   int
	driver *driver
	peers  []int // slots of the others
	seed   uint64

	mu    sync.Mutex
	acked []ackedRecord // in the shelf's SEL, by this guest
}

type ackedRecord struct {
	id   uint16
	data []byte
}

// programs is how many things a guest does at once.
const programs = 3

// NewGuest makes the guest of a slot.
func NewGuest(w *World, slot, nodes int) *Guest {
	g := &Guest{w: w, name: nodeName(slot), slot: slot, seed: w.rand.Uint64()}
	for other := 1; other <= nodes; other++ {
		if other != slot {
			g.peers = append(g.peers, other)
		}
	}
	g.driver = newDriver(g.echo)
	return g
}

// echo is the software that answers others: what it was sent, and who it is.
func (g *Guest) echo(f ipmb.Frame) []byte { return append([]byte{byte(g.slot)}, f.Data...) }

// Run works until ctx ends; the driver goes on until the guest is closed.
func (g *Guest) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range programs {
		r := rand.New(rand.NewPCG(g.seed, uint64(i)))
		wg.Go(func() {
			for pause(ctx, time.Duration(r.IntN(400))*time.Millisecond) {
				g.step(r, i == 0)
			}
		})
	}
	wg.Wait()
}

// Boot connects the VM to its node, again and again, and starts the driver. The
// returned function ends both.
func (g *Guest) Boot() (halt func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { g.connect(ctx) })
	wg.Go(func() { g.driver.run(ctx) })
	return func() {
		cancel()
		g.driver.vm.Close()
		wg.Wait()
	}
}

// PowerOff ends the guest as Linux ends an ATCA board (ipmi_poweroff.c): by Set
// Power Level. The VM goes with the function that Boot gave.
func (g *Guest) PowerOff(ctx context.Context) error {
	off, err := picmg.PowerLevel{Level: picmg.PowerOff}.AppendBinary(ipmb.AppendBody(nil, ipmb.NetFnGroup, ipmb.BodyPICMG))
	if err != nil {
		return err
	}
	r, err := g.driver.local(ctx, ipmb.Request{NetFn: ipmb.NetFnGroup, Cmd: picmg.CmdSetPowerLevel, Data: off})
	if err == nil {
		err = r.Err()
	}
	return err
}

func (g *Guest) connect(ctx context.Context) {
	for pause(ctx, 20*time.Millisecond) {
		n := g.w.node(g.name)
		if n == nil || g.driver.vm.Connected() {
			continue
		}
		conn, err := n.door.dial()
		if err != nil || g.driver.vm.Connect(conn) != nil {
			continue
		}
		// The queue's interrupt, so that the guest hears of messages, and the SEL.
		_, _ = g.driver.local(ctx, ipmb.Request{NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdSetGlobalEnables, Data: []byte{0x09}})
	}
}

// step does one thing. Requests that are under way are finished: a guest does
// not forget them because the seed is over.
func (g *Guest) step(r *rand.Rand, first bool) {
	ctx := context.Background()
	switch n := r.IntN(100); {
	case n < 10:
		g.identify(ctx, ipmb.SlotAddr(g.slot), uint16(g.slot))
	case n < 20:
		slot := g.peers[r.IntN(len(g.peers))]
		g.identify(ctx, ipmb.SlotAddr(slot), uint16(slot))
	case n < 30:
		g.identify(ctx, ipmb.AddrShelfManager, 0)
	case n < 45:
		g.talk(ctx, g.peers[r.IntN(len(g.peers))], r.Uint64())
	case n < 65:
		g.addSEL(ctx)
	case n < 75:
		g.platformEvent(ctx)
	case n < 80:
		g.forbidden(ctx)
	case n < 88:
		g.readBack(ctx, r)
	case first:
		g.localEvent(ctx)
	}
}

// call is one request and what is needed to judge it.
type call struct {
	g       *Guest
	what    string
	began   time.Time
	starts  int
	nodes   []string // that it needs
	manager bool     // it goes to 20h
}

func (g *Guest) begin(what string, nodes ...string) call {
	return call{g: g, what: what, began: time.Now(), starts: g.w.wit.startsOf(g.name), nodes: append(nodes, g.name)}
}

// beginManager begins a request to 20h.
func (g *Guest) beginManager(format string, args ...any) call {
	c := g.begin(fmt.Sprintf(format, args...))
	c.manager = true
	return c
}

func (c call) restarts() int { return c.g.w.wit.startsOf(c.g.name) - c.starts }

// judge notes a failure that had no excuse, and reports success.
func (c call) judge(r ipmb.Response, err error) bool {
	c.g.w.Ledger.count(err == nil && r.Code == ipmb.OK)
	if err == nil && r.Code == ipmb.OK {
		return true
	}
	if err == nil && c.manager { // 20h never refuses what is right: it answers, or nobody does
		c.g.w.Ledger.Failf("%s of %s was answered %v", c.what, c.g.name, r.Code)
		return false
	}
	from := c.began
	if len(c.nodes) > 1 { // others must know by then that the target is there
		from = from.Add(-calm)
	}
	if c.g.w.health.fair(from, time.Now(), c.nodes...) {
		c.g.w.Ledger.Failf("%s of %s failed with a quorum in reach: %v, %v; from %s to %s", c.what, c.g.name, r.Code, err,
			c.began.Sub(c.g.w.health.began), time.Since(c.g.w.health.began))
	}
	return false
}

// wrongAnswer notes an answer that is not the request's.
func (c call) wrongAnswer(got []byte, want string) {
	c.g.w.Ledger.Failf("%s of %s was answered % x, want %s", c.what, c.g.name, got, want)
}

// identify asks who is at an address.
func (g *Guest) identify(ctx context.Context, to ipmb.Addr, product uint16) {
	const productAt = 9
	req := ipmb.Request{NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdGetDeviceID}
	var c call
	var rs ipmb.Response
	var err error
	switch {
	case to.Slot() == g.slot:
		c = g.begin("local Get Device ID")
		rs, err = g.driver.local(ctx, req)
		if err != nil || rs.Code == ipmb.ErrInitialising {
			return // the node is down
		}
		if rs.Code == ipmb.ErrTimeout {
			g.w.Ledger.Failf("the door of %s is stuck", g.name)
			return
		}
	case to == ipmb.AddrShelfManager:
		c = g.beginManager("Get Device ID at 20h")
		rs, err = g.driver.ask(ctx, to, req)
	default:
		c = g.begin("bridged Get Device ID", nodeName(to.Slot()))
		rs, err = g.driver.ask(ctx, to, req)
	}
	if c.judge(rs, err) && (len(rs.Data) < productAt+2 || binary.LittleEndian.Uint16(rs.Data[productAt:]) != product) {
		c.wrongAnswer(rs.Data, fmt.Sprintf("product %d", product))
	}
}

// talk sends a message to software in another guest and wants it back.
func (g *Guest) talk(ctx context.Context, slot int, word uint64) {
	data := binary.LittleEndian.AppendUint64(nil, word)
	c := g.begin("message to guest software", nodeName(slot))
	rs, err := g.driver.ask(ctx, ipmb.SlotAddr(slot), ipmb.Request{NetFn: netFnEcho, LUN: ipmb.LUNSMS, Cmd: cmdEcho, Data: data})
	if want := append([]byte{byte(slot)}, data...); c.judge(rs, err) && !bytes.Equal(rs.Data, want) {
		c.wrongAnswer(rs.Data, fmt.Sprintf("% x", want))
	}
}

// addSEL adds a record to the shelf's SEL.
func (g *Guest) addSEL(ctx context.Context) {
	k := g.w.Ledger.begin("Add SEL Entry")
	record := make([]byte, 16)
	record[2], record[3] = recordOEM, byte(g.slot)
	copy(record[13:], k.bytes())
	c := g.beginManager("Add SEL Entry %d", k)
	rs, err := g.driver.ask(ctx, ipmb.AddrShelfManager, ipmb.Request{NetFn: ipmb.NetFnStorage, Cmd: cmdAddSELEntry, Data: record})
	ok := c.judge(rs, err)
	var id uint16
	if ok && len(rs.Data) == 2 {
		id = binary.LittleEndian.Uint16(rs.Data)
		g.mu.Lock()
		g.acked = append(g.acked, ackedRecord{id, record})
		g.mu.Unlock()
	} else if ok {
		c.wrongAnswer(rs.Data, "a record id")
	}
	g.w.Ledger.end(k, ok, id, c.restarts())
}

// readBack reads a record that was acknowledged: it must be there.
func (g *Guest) readBack(ctx context.Context, r *rand.Rand) {
	g.mu.Lock()
	if len(g.acked) == 0 {
		g.mu.Unlock()
		return
	}
	a := g.acked[r.IntN(len(g.acked))]
	g.mu.Unlock()
	c := g.beginManager("Get SEL Entry %#04x", a.id)
	data := []byte{0, 0, byte(a.id), byte(a.id >> 8), 0, 0xFF}
	rs, err := g.driver.ask(ctx, ipmb.AddrShelfManager, ipmb.Request{NetFn: ipmb.NetFnStorage, Cmd: cmdGetSELEntry, Data: data})
	if err == nil && rs.Code == ipmb.ErrNotPresent {
		g.w.Ledger.Failf("%s of %s: an acknowledged record is not there", c.what, g.name)
	} else if c.judge(rs, err) && (len(rs.Data) != 18 || !bytes.Equal(rs.Data[4:], a.data[2:])) {
		c.wrongAnswer(rs.Data, fmt.Sprintf("% x", a.data))
	}
}

func (g *Guest) event(k token) []byte {
	return append([]byte{evmRev, eventSensor, byte(g.slot), eventOEMType}, k.bytes()...)
}

// platformEvent reports an event to 20h over the bus.
func (g *Guest) platformEvent(ctx context.Context) {
	k := g.w.Ledger.begin("Platform Event")
	c := g.beginManager("Platform Event %d", k)
	rs, err := g.driver.ask(ctx, ipmb.AddrShelfManager, ipmb.Request{NetFn: ipmb.NetFnSensor, Cmd: cmdPlatformEvent, Data: g.event(k)})
	g.w.Ledger.end(k, c.judge(rs, err), 0, c.restarts())
}

// localEvent reports an event to the own controller, which has to tell the
// shelf once the shelf has asked for events.
func (g *Guest) localEvent(ctx context.Context) {
	rs, err := g.driver.local(ctx, ipmb.Request{NetFn: ipmb.NetFnSensor, Cmd: cmdGetEventReceiver})
	if err != nil || rs.Code != ipmb.OK || len(rs.Data) == 0 || rs.Data[0] != byte(ipmb.AddrShelfManager) {
		return
	}
	k := g.w.Ledger.begin("local event")
	data := append([]byte{0x41}, g.event(k)...)
	rs, err = g.driver.local(ctx, ipmb.Request{NetFn: ipmb.NetFnSensor, Cmd: cmdPlatformEvent, Data: data})
	g.w.Ledger.end(k, err == nil && rs.Code == ipmb.OK, 0, 0)
}

// forbidden tries what guests may not do: it must be refused, whatever happens.
func (g *Guest) forbidden(ctx context.Context) {
	c := g.begin("Clear SEL at 20h")
	rs, err := g.driver.ask(ctx, ipmb.AddrShelfManager, ipmb.Request{NetFn: ipmb.NetFnStorage, Cmd: cmdClearSEL, Data: []byte{1, 0, 'C', 'L', 'R', 0xAA}})
	if err == nil && rs.Code == ipmb.OK {
		g.w.Ledger.Failf("%s of %s was done", c.what, g.name)
	}
}

// Probe does once what must succeed on a whole shelf.
func (g *Guest) Probe(ctx context.Context) {
	for _, slot := range append(g.peers, g.slot) {
		g.identify(ctx, ipmb.SlotAddr(slot), uint16(slot))
	}
	g.identify(ctx, ipmb.AddrShelfManager, 0)
	g.addSEL(ctx)
}
