package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/midplane-project/midplane/internal/link"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/vm"
	midplanev1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// What the API asks of a node's VM reaches it by the VM protocol.
func TestPowerByAPI(t *testing.T) {
	cfg := lone(t)
	n := run(t, cfg, nil)
	g := connect(t, cfg)
	if _, err := g.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	for action, want := range map[midplanev1.PowerAction]vm.Command{
		midplanev1.PowerAction_POWER_ACTION_RESET:    vm.CommandReset,
		midplanev1.PowerAction_POWER_ACTION_NMI:      vm.CommandNMI,
		midplanev1.PowerAction_POWER_ACTION_SOFT_OFF: vm.CommandGracefulPower,
		midplanev1.PowerAction_POWER_ACTION_OFF:      vm.CommandPowerOff,
	} {
		if err := n.Power(t.Context(), action); err != nil {
			t.Errorf("%v: %v", action, err)
		}
		if err := g.WaitCommand(t.Context(), want); err != nil {
			t.Error(err)
		}
	}
	if err := n.Power(t.Context(), midplanev1.PowerAction_POWER_ACTION_ON); err != nil {
		t.Errorf("on, while it is: %v", err)
	}
	if err := n.Power(t.Context(), midplanev1.PowerAction_POWER_ACTION_CYCLE); !errors.Is(err, ErrNoVM) {
		t.Errorf("cycle: %v", err)
	}
	if err := n.Power(t.Context(), 99); ipmb.CodeOf(err) != ipmb.ErrInvalidField {
		t.Errorf("action 99: %v", err)
	}
	if err := n.Attach(t.Context(), &bytes.Buffer{}, power.Attachment{}); !errors.Is(err, ErrNoVM) {
		t.Errorf("console: %v", err)
	}
	if _, err := n.Agent(); !errors.Is(err, ErrNoVM) {
		t.Errorf("agent: %v", err)
	}
	if err := n.end(); err != nil {
		t.Error(err)
	}
}

// An onlooker sees what passes the guest's door, the API the same controller.
func TestWatchAndAsk(t *testing.T) {
	cfg := lone(t)
	n := run(t, cfg, nil)
	viewer := n.Watch()
	defer viewer.Close()
	g := connect(t, cfg)
	id, err := g.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for e := range viewer.Entries() {
		if bytes.Equal(e.Bytes, []byte{0x18, 0x01}) && e.ToController && e.Kind == midplanev1.TraceKind_TRACE_KIND_SYSTEM {
			break
		}
	}
	r := n.ServeIPMI(t.Context(), &ipmb.Request{
		NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdGetDeviceID,
		Origin: ipmb.Origin{Speaker: ipmb.SpeakerAPI, Door: ipmb.DoorAPI, Privilege: ipmb.PrivilegeAdmin},
	})
	if r.Code != ipmb.OK || !bytes.Equal(r.Data, id) {
		t.Errorf("API got %v, the guest % x", r, id)
	}
	if len(n.Commands()) < 30 {
		t.Errorf("%d commands", len(n.Commands()))
	}
	if err := n.end(); err != nil {
		t.Error(err)
	}
}

// Without its shelf a node is still a BMC, and holds what is for 0x20.
func TestWithoutShelf(t *testing.T) {
	cfg := lone(t)
	cfg.Shelf, cfg.Slot, cfg.Name, cfg.Profile, cfg.PKI = "lab", 1, "blade1", ProfileATCA, "unused"
	cfg.Replicas = []Replica{{"shm1", "nowhere"}}
	seen := make(chan ipmb.Message, 8)
	n, err := New(cfg, Options{
		Log: slog.New(slog.DiscardHandler), Tap: func(m ipmb.Message, _ bool) { seen <- m },
		Dial: func(context.Context, string) (link.Conn, error) { return nil, errors.New("no way there") },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- n.Run(ctx) }()
	g := connect(t, cfg)
	if _, err := g.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code, _, err := g.Do(t.Context(), ipmb.NetFnGroup, 0, 1, []byte{0, 0}); code != ipmb.OK || err != nil {
		t.Errorf("address info: %v, %v", code, err)
	}
	if _, code, err := g.SendIPMB(t.Context(), 0x20, ipmb.Request{NetFn: ipmb.NetFnApp, Cmd: 1}); code != ipmb.OK || err != nil {
		t.Errorf("to 0x20: %v, %v", code, err)
	}
	if m := <-seen; m.Frame.To != 0x20 || m.Frame.From != 0x82 {
		t.Errorf("on the bus: %s", m.Frame)
	}
	for deadline := time.Now().Add(time.Minute); n.Status().Uplinks[0].Error == ""; { // until it was tried
		if time.Now().After(deadline) {
			t.Fatal("it was never tried")
		}
		time.Sleep(time.Millisecond)
	}
	if s := n.Status(); s.Address != 0x82 || s.Uplinks[0].Connected || s.Shelf != "lab" {
		t.Errorf("status %v", s)
	}
	stop()
	if err := errors.Join(<-done, n.Close()); err != nil {
		t.Error(err)
	}
}

// A node of its own VM keeps in mind whether that should run, and names it.
func TestOwnVM(t *testing.T) {
	cfg := lone(t)
	cfg.Listen = nil
	cfg.VM = &power.Spec{
		Name: "b", UUID: "03020100-0504-0706-0809-0a0b0c0d0e0f", QMPSocket: cfg.Dir + "/qmp",
		AgentSocket: cfg.Dir + "/agent", VMSocket: power.VMSocket{Path: cfg.Dir + "/vm", Server: true},
	}
	open := func() *Node {
		n, err := New(cfg, Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := open()
	if _, err := n.Agent(); err != nil {
		t.Error(err)
	}
	if s := n.Status(); s.VmState != "off" || !bytes.Equal(s.SystemGuid, guid[:]) || len(s.CommandLine) == 0 {
		t.Errorf("status %v", s)
	}
	if err := errors.Join(n.Power(t.Context(), midplanev1.PowerAction_POWER_ACTION_OFF), n.Close()); err != nil {
		t.Error(err)
	}
	n = open()
	if n.host.wants() {
		t.Error("its VM was switched off and should run")
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
