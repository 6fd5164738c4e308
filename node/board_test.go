package node

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/template"
	"github.com/midplane-project/midplane/node/thermal"
	"github.com/midplane-project/midplane/node/vm"
	midplanev1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const (
	self  ipmb.Addr = 0x82
	other ipmb.Addr = 0x84
	third ipmb.Addr = 0x86
)

// boardPatience is how long a board may take on a busy machine. Nothing is measured by it.
const boardPatience = time.Minute

// board is a controller on a fake bus, with a fake VM, line and outbox. Its
// guest is whoever calls guest.
type board struct {
	*Controller
	t      testing.TB
	dir    string
	id     Identity
	db     *kv.DB
	ledger *ledger
	bus    *fakeBus
	vm     *fakeVM
	net    network
	line   *fakeLine
	outbox *fakeOutbox
	frus   []mc.FRU // that the controller has beside its own

	cable     bus     // instead of bus; nil: bus
	payload   payload // instead of vm; nil: vm
	stranger  bool    // somebody else starts the VM
	clock     string  // of the watchdog
	selConfig SELConfig

	template *template.Template // without sensors, unless a test gives it one
	load     func(time.Time) thermal.Load
	faultIDs atomic.Uint32
}

// newBoard makes a controller in an empty directory. It is closed with the test.
func newBoard(t testing.TB, profile string) *board {
	b := &board{
		t: t, dir: t.TempDir(), bus: newFakeBus(), vm: &fakeVM{}, outbox: &fakeOutbox{}, template: &template.Template{},
		id: Identity{Shelf: "lab", Addr: self, Name: "blade1", Profile: profile, Interface: "kcs", SystemGUID: guid},
	}
	b.start()
	t.Cleanup(b.stop)
	return b
}

// start makes the controller of what is in the directory; its VM runs.
func (b *board) start() {
	b.t.Helper()
	b.begin()
	b.VMHappened(power.Event{State: power.Running}, false)
}

// begin makes the controller, which knows nothing yet of its VM.
func (b *board) begin() {
	b.t.Helper()
	var err error
	if b.db, err = kv.Open(filepath.Join(b.dir, storeFile)); err != nil {
		b.t.Fatal(err)
	}
	st, err := store{b.db}.start()
	if err != nil {
		b.t.Fatal(err)
	}
	var left []record
	if b.ledger, left, err = openLedger(filepath.Join(b.dir, ledgerFile)); err != nil {
		b.t.Fatal(err)
	}
	b.line = &fakeLine{}
	life, err := openLife(records{b.db}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.t.Fatal(err)
	}
	var v payload = b.vm
	if b.payload != nil {
		v = b.payload
	}
	var out bus = b.bus
	if b.cable != nil {
		out = b.cable
	}
	b.Controller, err = newController(b.id, parts{
		db: b.db, ledger: b.ledger, left: left, settings: st, out: out, outbox: b.outbox, vm: v, life: life, frus: b.frus, network: b.net,
		template: b.template, load: b.load, air: func() (float64, bool) { return 0, false }, faultIDs: func() uint32 { return b.faultIDs.Add(1) },
		log: slog.New(slog.DiscardHandler), canCycle: !b.stranger, watchdogClock: b.clock, sel: b.selConfig,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.bus.attach(b.Controller)
	b.mail.connect(b.line)
	b.Resume()
}

// stop ends the controller as a planned end does.
func (b *board) stop() {
	b.Controller.Close()
	b.release()
}

// kill ends it as SIGKILL does: the ledger is what it was before.
func (b *board) kill() {
	b.t.Helper()
	if err := b.ledger.close(); err != nil {
		b.t.Fatal(err)
	}
	b.Controller.Close()
	b.release()
}

func (b *board) release() {
	if err := b.ledger.close(); err != nil {
		b.t.Error(err)
	}
	if err := b.db.Close(); err != nil {
		b.t.Error(err)
	}
}

// origin is what the guest's door says of its requests.
func (b *board) origin() ipmb.Origin {
	return ipmb.Origin{
		Speaker: ipmb.SpeakerGuest, Door: ipmb.DoorSystem, Channel: ipmb.ChannelSystem, Privilege: ipmb.PrivilegeAdmin,
		Shelf: b.id.Shelf, Source: b.id.Addr, Instance: "own",
	}
}

// guest asks as the own guest: "06 01" and the data in hex. The answer is in
// hex too, completion code first.
func (b *board) guest(request string) string {
	b.t.Helper()
	return b.ask(b.origin(), request)
}

// shelf asks as the shelf manager does over the bus.
func (b *board) shelf(request string) string {
	b.t.Helper()
	return b.ask(ipmb.Origin{
		Door: ipmb.DoorIPMB, Privilege: ipmb.PrivilegeAdmin, Shelf: b.id.Shelf, Source: ipmb.AddrShelfManager,
	}, request)
}

func (b *board) ask(o ipmb.Origin, request string) string {
	b.t.Helper()
	raw := unhex(b.t, request)
	r := b.Handler().ServeIPMI(b.t.Context(), &ipmb.Request{
		NetFn: ipmb.NetFn(raw[0]), Cmd: ipmb.Cmd(raw[1]), Data: raw[2:], Origin: o,
	})
	return fmt.Sprintf("% x", append([]byte{byte(r.Code)}, r.Data...))
}

// send has the guest send a frame by Send Message, and gives the code.
func (b *board) send(f ipmb.Frame) ipmb.CompletionCode {
	b.t.Helper()
	raw, err := f.AppendBinary(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	data, err := ipmb.SendMessage{Message: raw}.AppendBinary(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.Handler().ServeIPMI(b.t.Context(), &ipmb.Request{
		NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdSendMessage, Data: data, Origin: b.origin(),
	}).Code
}

// received empties the receive message queue as Linux does.
func (b *board) received() (out []ipmb.Frame) {
	b.t.Helper()
	for {
		r := b.Handler().ServeIPMI(b.t.Context(), &ipmb.Request{NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdGetMessage, Origin: b.origin()})
		if r.Code == ipmb.ErrEmpty {
			return out
		}
		if r.Code != ipmb.OK || r.Data[0] != ipmb.ChannelIPMB {
			b.t.Fatalf("Get Message: %v % x", r.Code, r.Data)
		}
		f, err := ipmb.ParseFrame(append([]byte{byte(b.id.Addr)}, r.Data[1:]...))
		if err != nil {
			b.t.Fatalf("message % x: %v", r.Data, err)
		}
		out = append(out, f)
	}
}

// request is a request of guest software's.
func request(to ipmb.Addr, seq uint8, n ipmb.NetFn, c ipmb.Cmd, data ...byte) ipmb.Frame {
	return ipmb.Frame{To: to, NetFn: n, From: 0x20, FromLUN: ipmb.LUNSMS, Seq: seq, Cmd: c, Data: data}
}

func getDeviceID(to ipmb.Addr, seq uint8) ipmb.Frame {
	return request(to, seq, ipmb.NetFnApp, ipmb.CmdGetDeviceID)
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

// fakeBus takes what a controller sends. Without serve nobody answers.
type fakeBus struct {
	mu     sync.Mutex
	sent   []ipmb.Message
	absent map[ipmb.Addr]bool
	refuse error
	serve  func(ipmb.Message) (ipmb.Response, bool)
	node   *Controller
	ring   chan struct{} // rung at each message
}

func newFakeBus() *fakeBus {
	return &fakeBus{absent: make(map[ipmb.Addr]bool), ring: make(chan struct{}, 1)}
}

func (b *fakeBus) attach(c *Controller) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.node = c
}

// on sets what answers requests.
func (b *fakeBus) on(serve func(ipmb.Message) (ipmb.Response, bool)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.serve = serve
}

func (b *fakeBus) refuseWith(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse = err
}

func (b *fakeBus) Absent(a ipmb.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.absent[a]
}

func (b *fakeBus) Send(_ context.Context, m ipmb.Message) error {
	b.mu.Lock()
	if b.refuse != nil {
		defer b.mu.Unlock()
		return b.refuse
	}
	m.Frame.Data = slices.Clone(m.Frame.Data)
	b.sent = append(b.sent, m)
	serve, node := b.serve, b.node
	b.mu.Unlock()
	if serve != nil && !m.Frame.IsResponse() {
		if r, ok := serve(m); ok {
			node.Deliver(context.Background(), answerTo(m, r))
		}
	}
	select {
	case b.ring <- struct{}{}:
	default:
	}
	return nil
}

func answerTo(m ipmb.Message, r ipmb.Response) ipmb.Message {
	return ipmb.Message{ID: m.ID, Instance: m.Instance, Frame: m.Frame.Reply(r)}
}

// messages gives what was sent so far.
func (b *fakeBus) messages() []ipmb.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.sent)
}

// wait waits for n messages.
func (b *fakeBus) wait(t testing.TB, n int) []ipmb.Message {
	t.Helper()
	for {
		if m := b.messages(); len(m) >= n {
			return m
		}
		select {
		case <-b.ring:
		case <-time.After(boardPatience):
			t.Fatalf("%d messages, want %d", len(b.messages()), n)
		}
	}
}

// fakeLine is the door's lines to the guest.
type fakeLine struct {
	mu                    sync.Mutex
	attention, interrupts bool
	reminded              int
	changed               chan struct{}
}

func (l *fakeLine) SetAttention(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attention = on
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

func (l *fakeLine) SetInterrupts(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interrupts = on
}

func (l *fakeLine) Remind() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reminded++
}

func (l *fakeLine) state() (attention, interrupts bool, reminded int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.attention, l.interrupts, l.reminded
}

// wait waits for the attention line.
func (l *fakeLine) wait(t testing.TB) {
	t.Helper()
	for {
		l.mu.Lock()
		if l.attention {
			l.mu.Unlock()
			return
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(boardPatience):
			t.Fatal("no attention")
		}
	}
}

// fakeVM notes what is done to it.
type fakeVM struct {
	fail error

	mu    sync.Mutex
	on    bool
	calls []string
}

func (v *fakeVM) On() bool { return v.on }

func (v *fakeVM) do(call string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls = append(v.calls, call)
	return v.fail
}

func (v *fakeVM) PowerOn(context.Context) error               { return v.do("on") }
func (v *fakeVM) PowerOff(context.Context) error              { return v.do("off") }
func (v *fakeVM) Cycle(context.Context) error                 { return v.do("cycle") }
func (v *fakeVM) Press(_ context.Context, c vm.Command) error { return v.do(c.String()) }
func (v *fakeVM) Grant(on bool) error {
	if on {
		return v.do("grant")
	}
	return v.do("revoke")
}

// took gives what was done since it was asked last.
func (v *fakeVM) took() (calls []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	calls, v.calls = v.calls, nil
	return calls
}

// fakeOutbox keeps the events for the shelf.
type fakeOutbox struct {
	mu     sync.Mutex
	events []*midplanev1.Event
	fail   error
}

func (o *fakeOutbox) Append(e *midplanev1.Event) (uint64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail != nil {
		return 0, o.fail
	}
	o.events = append(o.events, e)
	return uint64(len(o.events)), nil
}

// guid is a GUID that reads as 00 01 … 0f on the wire.
var guid = mc.GUID(uuid.MustParse("03020100-0504-0706-0809-0a0b0c0d0e0f"))
