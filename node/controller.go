package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/crew"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/mc/pef"
	"github.com/midplane-project/midplane/ipmb/rmcp"
	"github.com/midplane-project/midplane/node/template"
	"github.com/midplane-project/midplane/node/thermal"
)

// Profiles of a node.
const (
	ProfileATCA   = "atca"   // an IPM controller: PICMG commands, events to the shelf
	ProfileServer = "server" // a server's BMC: PICMG answers C1h
	// ProfileFanTray is an IPM controller that has fans and never a VM.
	ProfileFanTray = "fan-tray"
)

// Limits of a controller.
const (
	// inboundLimit bounds the bus's requests that are worked on at once; those
	// above it are answered C0h, node busy.
	inboundLimit = 64
	// idleLimit is how many goroutines wait to be used again.
	idleLimit = 4
	// onceLimit is how many answers to requests with effect are remembered.
	onceLimit = 1024
	// bootShift puts the boot counter above the request counter in a request id.
	bootShift = 40
)

// Identity is what a controller says of itself.
type Identity struct {
	Shelf        string
	Addr         ipmb.Addr // the slot's; 0x20 on a standalone node
	Name         string
	Profile      string // ProfileATCA, ProfileServer or ProfileFanTray
	Interface    string // kcs, bt, pci-kcs, pci-bt or ssif
	Manufacturer uint32 // IANA enterprise number; 0 by default, since a borrowed one wakes vendor quirks
	Product      uint16
	SystemGUID   mc.GUID // the VM's UUID
	VM           bool    // there is one
	Serial       mc.Channels
	Logins       rmcp.Settings // of the LAN door
}

// deviceIdentity is what Get Device ID and the GUID commands say.
func (id Identity) deviceIdentity(instance mc.GUID) mc.Identity {
	return mc.Identity{
		DeviceID: 0x20, Revision: 1, FirmwareMaj: firmwareMajor, FirmwareMin: firmwareMinor,
		Manufacturer: id.Manufacturer, Product: id.Product, DeviceGUID: instance, SystemGUID: id.SystemGUID,
	}
}

// Firmware revision 0.10. It changes when what the controller does for its
// guest changes, not with every build: Linux registers a BMC anew when its
// Device ID changes (ipmi_msghandler.c).
const (
	firmwareMajor = 0
	firmwareMinor = 0x10 // BCD
)

// Controller is a management controller without its doors: what it knows, and
// how it answers. The bus brings it frames through Deliver, doors ask its Handler.
type Controller struct {
	id        Identity
	mux       *ipmb.Mux
	handler   ipmb.Handler
	identity  mc.Identity
	requester *ipmb.Requester
	mail      *messages
	asks      *asks
	software  *software
	bridge    *bridge
	receiver  *mc.EventReceiver
	sel       *localSEL
	events    *events
	watchdog  *mc.Watchdog
	acpi      *acpi
	fans      *fanTray // nil but of a fan tray
	tests     *selfTest
	sensors   *sensors
	swap      *hotSwap // nil: no ATCA board
	own       repository
	sdrs      *mc.SDRRepository
	fruList   []mc.FRU
	frus      *mc.FRUs
	access    *access
	pef       *pef.PEF
	out       bus
	policy    *ipmb.GuestPolicy
	log       *slog.Logger
	left      []record        // of an earlier process, until Resume
	waiting   map[askKey]bool // answers among them that the guest may not have
	slots     chan struct{}   // bounds requests from the bus that run at once

	ctx    context.Context
	cancel context.CancelFunc
	life   sync.Mutex // no goroutine starts once closed
	closed bool
	crew   *crew.Crew // for what takes a while
}

// parts is what newController is built on.
type parts struct {
	db       *kv.DB
	ledger   *ledger
	left     []record // what was in the ledger
	settings settings
	out      bus
	outbox   outbox
	vm       payload
	life     *life
	frus     []mc.FRU                     // FRU devices beside FRU 0, or in its place
	template *template.Template           // its sensors and their environment
	load     func(time.Time) thermal.Load // of the VM
	air      func() (float64, bool)       // level of the shelf's fans, if it has any
	faultIDs func() uint32                // gives faults their ids
	network  network
	log      *slog.Logger

	canCycle      bool   // the node can take the VM's power for a while
	watchdogClock string // ClockVM or ClockWall
	sel           SELConfig
	leaves        bool // a guest that powers the board off asks for its deactivation
}

func newController(id Identity, p parts) (*Controller, error) {
	sel, err := openSEL(p.db, p.sel)
	if err != nil {
		return nil, err
	}
	st := store{p.db}
	c := &Controller{
		id: id, sel: sel, out: p.out, policy: ipmb.DefaultGuestPolicy, log: p.log, left: p.left,
		mail:     newMessages(p.settings.enables, st.saveEnables, p.ledger),
		receiver: mc.NewEventReceiver(p.settings.receiver, st.saveReceiver),
		slots:    make(chan struct{}, inboundLimit),
		crew:     crew.New(idleLimit),
		identity: id.deviceIdentity(mc.GUID(p.settings.instance)),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.connect(p)
	if err := c.openDevices(p); err != nil {
		return nil, err
	}
	c.mux = ipmb.NewMux(c.tables(p)...)
	c.mux.Guard = c.access.firewall.Guard
	c.identity.SDRs = c.mux.Has(ipmb.NetFnSensor, 0, cmdGetDeviceSDR)
	c.handler = synced{ipmb.NewOnce(c.mux, c.hasEffect, onceLimit), c.hasEffect, p.db}
	if err := c.own.open(c.bodies(), st); err != nil {
		return nil, err
	}
	c.restoreMail()
	return c, nil
}

// connect builds what lies between guest and bus.
func (c *Controller) connect(p parts) {
	instance := string(p.settings.instance[:])
	c.requester = ipmb.NewRequester(ipmb.BusFunc(c.sendOrLoop), c.id.Addr, instance, p.settings.boot<<bootShift)
	c.asks = &asks{
		self: c.id.Addr, shelf: c.id.Shelf, instance: instance, out: p.out, requester: c.requester,
		mail: c.mail, ledger: p.ledger, log: p.log, life: c.ctx, spawn: c.spawn, latest: make(map[askKey]*ask),
	}
	c.software = &software{
		self: c.id.Addr, mail: c.mail, ledger: p.ledger, log: p.log, send: c.reply, asked: make(map[askedKey]*asked),
	}
	c.bridge = &bridge{
		self: c.id.Addr, out: p.out, requester: c.requester, policy: c.policy,
		asks: c.asks, software: c.software, log: p.log,
	}
}

func (c *Controller) hasEffect(req *ipmb.Request) bool {
	row := c.mux.Lookup(req.NetFn, req.Cmd, req.Data)
	return row != nil && row.Effect
}

// Handler answers requests that come by a door.
func (c *Controller) Handler() ipmb.Handler { return c.handler }

// Commands is the controller's command table.
func (c *Controller) Commands() []ipmb.Command { return c.mux.Commands() }

// DeviceID is the data of the Get Device ID response.
func (c *Controller) DeviceID() []byte {
	return c.identity.AppendDeviceID(nil, mc.SupportBits(c.mux))
}

// restoreMail fills the mailbox with what an earlier process left in it.
func (c *Controller) restoreMail() {
	c.waiting = make(map[askKey]bool)
	asked := c.asks.numbers(c.left)
	for _, r := range c.left {
		switch r.kind {
		case recordEvent, recordWarning:
			c.mail.restore(r, nil)
		case recordLetter:
			if lanLetter(r.payload) { // its session ended with that process
				c.mail.ledger.drop(r.slot)
				continue
			}
			k, ok := c.asks.answerKey(r.payload)
			if !ok || asked[k] > r.number { // no answer, or that of an earlier use of the number
				c.mail.restore(r, nil)
				continue
			}
			c.waiting[k] = true
			c.mail.restore(r, c.asks.refetched(k))
		}
	}
}

// Resume goes on with what an earlier process left under way. The bus must be
// there, and the guest must not ask before.
func (c *Controller) Resume() {
	c.software.resume(c.left)
	c.asks.resume(c.left, c.waiting)
	c.left, c.waiting = nil, nil
	if c.swap != nil {
		c.swap.resume()
	}
	c.spawn(c.pef.Run)
}

// LeaderChanged sends again what waits for an answer from 0x20.
func (c *Controller) LeaderChanged() { c.requester.Resend(ipmb.AddrShelfManager) }

// sendEvent reports an event to a receiver that is an ordinary controller.
func (c *Controller) sendEvent(to mc.Receiver, body []byte, speaker ipmb.Speaker) {
	req := &ipmb.Request{
		NetFn: ipmb.NetFnSensor, LUN: to.LUN, Cmd: cmdPlatformEvent, Data: append([]byte(nil), body...),
		Origin: ipmb.Origin{Speaker: speaker, Door: ipmb.DoorIPMB, Privilege: ipmb.PrivilegeOperator, Shelf: c.id.Shelf},
	}
	c.spawn(func(ctx context.Context) {
		answer, err := c.requester.Do(ctx, to.Addr, req, ipmb.ControllerRhythm)
		if err == nil {
			err = answer.Err()
		}
		if err != nil {
			c.log.Warn("event not taken", "receiver", to.Addr.String(), "err", err)
		}
	})
}

// spawn runs f in a goroutine that Close waits for, unless it has been closed.
func (c *Controller) spawn(f func(context.Context)) {
	c.life.Lock()
	defer c.life.Unlock()
	if c.closed {
		return
	}
	c.crew.Go(func() { f(c.ctx) })
}

// Close ends what is under way and waits for it.
func (c *Controller) Close() {
	c.watchdog.Close()
	c.life.Lock()
	c.closed = true
	c.life.Unlock()
	c.cancel()
	c.crew.Close()
	c.mail.settle()
}
