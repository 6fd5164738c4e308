package node

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Profiles of a node.
const (
	ProfileATCA   = "atca"   // an IPM controller: PICMG commands, events to the shelf
	ProfileServer = "server" // a server's BMC: PICMG answers C1h
)

// Identity is what a controller says of itself.
type Identity struct {
	Shelf        string
	Addr         ipmb.Addr // the slot's; 0x20 on a standalone node
	Name         string
	Profile      string // ProfileATCA or ProfileServer
	Interface    string // kcs, bt, pci-kcs, pci-bt or ssif
	Manufacturer uint32 // IANA enterprise number; 0 by default, since a borrowed one wakes vendor quirks
	Product      uint16
	SystemGUID   mc.GUID // the VM's UUID
	Version      [2]uint8
}

// Controller is a management controller without its doors: what it knows, and
// how it answers. The bus brings it frames through Deliver, doors ask its Handler.
type Controller struct {
	id       Identity
	mux      *ipmb.Mux
	handler  ipmb.Handler
	identity mc.Identity
	mail     *messages
	bridge   *bridge
	receiver *mc.EventReceiver
	sel      *localSEL
	out      bus
	policy   *ipmb.GuestPolicy
	log      *slog.Logger

	group  sync.WaitGroup
	ctx    context.Context
	cancel context.CancelFunc
	slots  chan struct{} // bounds requests from the bus that run at once
}

// inboundLimit bounds the bus's requests that one controller works on at once;
// those above it are answered C0h, node busy.
const inboundLimit = 64

// onceLimit is how many answers to requests with effect are remembered.
const onceLimit = 1024

// parts is what newController is built on.
type parts struct {
	db       *kv.DB
	settings settings
	out      bus
	outbox   outbox
	vm       payload
	log      *slog.Logger
}

func newController(id Identity, p parts) (*Controller, error) {
	sel, err := openSEL(p.db)
	if err != nil {
		return nil, err
	}
	st := store{p.db}
	c := &Controller{
		id: id, sel: sel, out: p.out, policy: ipmb.DefaultGuestPolicy, log: p.log,
		mail:     newMessages(p.settings.enables, st.saveEnables),
		receiver: mc.NewEventReceiver(p.settings.receiver, st.saveReceiver),
		slots:    make(chan struct{}, inboundLimit),
		identity: mc.Identity{
			DeviceID: 0x20, Revision: 1, FirmwareMaj: id.Version[0], FirmwareMin: id.Version[1],
			Manufacturer: id.Manufacturer, Product: id.Product,
			DeviceGUID: mc.GUID(p.settings.instance), SystemGUID: id.SystemGUID,
		},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	requester := ipmb.NewRequester(ipmb.BusFunc(c.sendOrLoop), id.Addr, string(p.settings.instance[:]), p.settings.boot<<bootShift)
	c.bridge = &bridge{
		self: id.Addr, shelf: id.Shelf, out: p.out, requester: requester, mail: c.mail,
		policy: c.policy, log: p.log, spawn: c.spawn, asked: make(map[guestAsk]ipmb.Message),
	}
	ev := &events{self: id.Addr, sel: sel, mail: c.mail, receiver: c.receiver, outbox: p.outbox, log: p.log, send: c.sendEvent}
	c.mux = ipmb.NewMux(c.tables(ev, p.vm)...)
	c.handler = ipmb.NewOnce(c.mux, c.hasEffect, onceLimit)
	return c, nil
}

// bootShift puts the boot counter above the request counter in a request id.
const bootShift = 40

func (c *Controller) tables(ev *events, vm payload) [][]ipmb.Command {
	channels := mc.Channels{mc.IPMBChannel, mc.SystemChannel(c.id.Interface)}
	t := [][]ipmb.Command{
		c.identity.Commands(func() *ipmb.Mux { return c.mux }, c.selfTest),
		channels.Commands(), c.receiver.Commands(), mc.SELCommands(c.sel),
		c.mail.commands(), c.bridge.commands(), ev.commands(),
	}
	if c.id.Profile == ProfileATCA {
		t = append(t, (&carrier{self: c.id.Addr, vm: vm}).commands())
	}
	return t
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

// selfTest reads the log back from the disk: a record that its checksum does
// not match is a SEL device that cannot be accessed.
func (c *Controller) selfTest(context.Context) mc.SelfTest {
	err := c.sel.db.View(func(tx *kv.Tx) error {
		b, err := tx.Bucket(bucketSEL)
		if err != nil {
			return err
		}
		return b.Each(nil, func(_, _ []byte) bool { return true })
	})
	if err != nil {
		c.log.Error("self test", "err", err)
		return mc.SelfTest{Result: mc.SelfTestFailed, Detail: mc.SelfTestSEL}
	}
	return mc.SelfTest{Result: mc.SelfTestPassed}
}

// spawn runs f in a goroutine that Close waits for.
func (c *Controller) spawn(f func(context.Context)) {
	c.group.Add(1)
	go func() {
		defer c.group.Done()
		f(c.ctx)
	}()
}

// Close ends what is under way and waits for it.
func (c *Controller) Close() {
	c.cancel()
	c.group.Wait()
}

// LeaderChanged sends again what waits for an answer from 0x20.
func (c *Controller) LeaderChanged() { c.bridge.requester.Resend(ipmb.AddrShelfManager) }

// sendEvent reports an event to a receiver that is an ordinary controller.
func (c *Controller) sendEvent(to mc.Receiver, body []byte, speaker ipmb.Speaker) {
	req := &ipmb.Request{
		NetFn: ipmb.NetFnSensor, LUN: to.LUN, Cmd: 0x02, Data: append([]byte(nil), body...),
		Origin: ipmb.Origin{Speaker: speaker, Door: ipmb.DoorIPMB, Privilege: ipmb.PrivilegeOperator, Shelf: c.id.Shelf},
	}
	c.spawn(func(ctx context.Context) {
		answer, err := c.bridge.requester.Do(ctx, to.Addr, req, ipmb.ControllerRhythm)
		if err == nil {
			err = answer.Err()
		}
		if err != nil {
			c.log.Warn("event not taken", "receiver", to.Addr.String(), "err", err)
		}
	})
}

// Raw sends a request on behalf of an API client: to this controller itself, or
// over the bus.
func (c *Controller) Raw(ctx context.Context, to ipmb.Addr, req *ipmb.Request) (ipmb.Response, error) {
	req.Origin.Source, req.Origin.Shelf = c.id.Addr, c.id.Shelf
	if to == c.id.Addr {
		return c.handler.ServeIPMI(ctx, req), nil
	}
	r, err := c.bridge.requester.Do(ctx, to, req, ipmb.ControllerRhythm)
	if err != nil {
		return r, fmt.Errorf("ask %s: %w", to, err)
	}
	return r, nil
}
