package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/picmg"
	"github.com/midplane-project/midplane/ipmb/sel"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/power/powertest"
	midplanev1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// bladeRig is a board of a shelf with a host that keeps a VM.
type bladeRig struct {
	*board
	host *host
	vm   *powertest.VM
	end  func()
}

// newBladeRig makes a board whose VM is on and whose events go to 0x20. stop
// ends node and host as a kill does, and go makes them anew of what they kept;
// the VM goes on meanwhile.
func newBladeRig(t *testing.T) *bladeRig {
	b := &bladeRig{board: newBoard(t, ProfileATCA), vm: powertest.New()}
	b.vm.SetState(power.Running)
	b.kill()
	b.goOn(true)
	b.shelf("04 00 20 00")
	t.Cleanup(func() { b.end() })
	return b
}

// goOn makes host and controller as a node does. wanted is whether the VM should
// be on.
func (b *bladeRig) goOn(wanted bool) {
	b.t.Helper()
	log := slog.New(slog.DiscardHandler)
	b.host = newHost(b.vm, b.dir, wanted, func(on bool) error { return store{b.db}.saveWanted(on) }, log)
	b.host.onGuestPoweroff = GuestPoweroffDeactivate
	b.host.door = &fakeDoor{vm: b.vm, absent: true} // so that all is done by the driver
	b.host.saveGranted = func(on bool) error { return store{b.db}.saveGranted(on) }
	b.payload = supply{b.host}
	b.begin()
	b.host.granted = b.grantKept()
	b.host.watch, b.host.leave = vmWatchers{b.sensors, b.swap}, b.swap.leave
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- b.host.run(ctx) }()
	synctest.Wait()
	b.end = func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	}
}

func (b *bladeRig) flag(key string) bool {
	v, err := store{b.db}.get(key)
	if err != nil {
		b.t.Fatal(err)
	}
	return v == nil || v[0] != 0
}

func (b *bladeRig) grantKept() bool { return b.flag(keyGranted) }

// restart ends it in the middle of whatever it does, and makes it anew.
func (b *bladeRig) restart() {
	b.t.Helper()
	b.end()
	wanted := b.flag(keyWanted)
	b.kill()
	b.goOn(wanted)
}

// told are the hot-swap events for the shelf.
func (b *board) told() (out []string) {
	b.outbox.mu.Lock()
	defer b.outbox.mu.Unlock()
	for _, e := range b.outbox.events {
		if d := e.GetBody(); d[1] == byte(sel.SensorHotSwap) {
			out = append(out, fmt.Sprintf("%x", d[1:]))
			if e.GetSpeaker() != midplanev1.Speaker_SPEAKER_CONTROLLER {
				b.t.Errorf("event by %v", e.GetSpeaker())
			}
		}
	}
	return out
}

func (b *bladeRig) is(t *testing.T, what string, state picmg.State, on bool) {
	t.Helper()
	synctest.Wait()
	want := fmt.Sprintf("00 00 c0 %02x 80", 1<<state)
	if got := b.guest("04 2d 00"); got != want || b.host.On() != on {
		t.Errorf("%s: sensor %s, want %s; VM on: %v", what, got, want, b.host.On())
	}
}

func (b *bladeRig) does(t *testing.T, request, want string) {
	t.Helper()
	if got := b.shelf(request); got != want {
		t.Errorf("shelf asks %s: %s, want %s", request, got, want)
	}
}

// A guest's poweroff ends in M1 and without grant, by way of the shelf; then
// power comes only by way of the shelf, too.
func TestGuestPoweroffDeactivates(t *testing.T) {
	for _, killed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBladeRig(t)
			between := func() {
				if killed {
					b.restart()
				}
			}
			b.is(t, "at first", picmg.M4, true)
			b.vm.GuestPoweroff()
			b.is(t, "powered off", picmg.M5, false)
			between()
			b.is(t, "powered off, later", picmg.M5, false)
			b.does(t, "2c 0c 00 00 00", "00 00")
			between()
			b.is(t, "deactivated", picmg.M1, false)
			if b.grantKept() {
				t.Error("the grant is still there")
			}
			b.does(t, "00 02 01", "d5")
			b.is(t, "wanted", picmg.M2, false)
			between()
			b.does(t, "00 02 01", "d5")
			b.does(t, "2c 0c 00 00 01", "00 00")
			between()
			b.is(t, "activated", picmg.M3, false)
			b.does(t, "2c 11 00 00 01 01", "00 00")
			between()
			b.is(t, "powered", picmg.M4, true)
			want := []string{
				"f0006fa53400", "f0006fa61500", "f0006fa10600", "f0006fa23100", "f0006fa31200", "f0006fa40300",
			}
			if got := b.told(); !slices.Equal(got, want) || !b.grantKept() {
				t.Errorf("events %q, want %q; granted %v", got, want, b.grantKept())
			}
		})
	}
}

// With stay the board remains active, and power is there for the asking.
func TestGuestPoweroffStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBladeRig(t)
		b.host.onGuestPoweroff = GuestPoweroffStay
		b.vm.GuestPoweroff()
		b.is(t, "powered off", picmg.M4, false)
		b.does(t, "00 02 01", "00")
		b.is(t, "on again", picmg.M4, true)
		if got := b.told(); len(got) > 0 {
			t.Errorf("events %q", got)
		}
	})
}

// A shelf that deactivates a board lets its guest end; a guest that does not
// loses its power. A node that is killed meanwhile asks it again.
func TestDeactivationIsGraceful(t *testing.T) {
	for _, obeys := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := newBladeRig(t)
			b.vm.Obey(false)
			b.does(t, "2c 0c 00 00 00", "00 00")
			b.is(t, "under way", picmg.M6, true)
			b.does(t, "00 02 01", "d5")
			b.does(t, "00 02 02", "d5")
			b.restart()
			b.is(t, "still under way", picmg.M6, true)
			if obeys {
				b.vm.GuestPoweroff()
			} else {
				time.Sleep(gracefulWithin + offWithin)
			}
			b.is(t, "off", picmg.M1, false)
			time.Sleep(time.Hour)
			b.is(t, "for good", picmg.M1, false)
			if got, want := b.told(), []string{"f0006fa61400", "f0006fa10600"}; !slices.Equal(got, want) {
				t.Errorf("events %q, want %q", got, want)
			}
		})
	}
}

// Without power a board is not active: Set Power Level(0) takes both at once.
func TestPowerLevelZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBladeRig(t)
		b.does(t, "2c 11 00 00 00 00", "00 00")
		b.is(t, "at once", picmg.M1, false)
		b.does(t, "2c 11 00 00 01 00", "d5 00")
	})
}

// A board that wanted to leave and is wanted again stays; a locked one is not
// asked for.
func TestHotSwapHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBladeRig(t)
		b.vm.GuestPoweroff()
		b.is(t, "leaving", picmg.M5, false)
		b.does(t, "00 02 01", "00")
		b.is(t, "on again", picmg.M4, true)
		b.does(t, "2c 0a 00 00 02 02", "00 00")
		b.vm.GuestPoweroff()
		b.is(t, "may not leave", picmg.M4, false)
		b.does(t, "2c 0c 00 00 00", "00 00")
		b.does(t, "2c 0a 00 00 01 01", "00 00")
		b.is(t, "locked", picmg.M1, false)
		b.restart()
		b.does(t, "00 02 01", "d5")
		b.is(t, "stays locked", picmg.M1, false)
		b.does(t, "2c 0a 00 00 01 00", "00 00")
		b.is(t, "unlocked", picmg.M2, false)
	})
}

// The front panel asks, too.
func TestHotSwapButton(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBladeRig(t)
		b.does(t, "2c 11 00 00 00 00", "00 00")
		if err := b.swap.button(t.Context(), supply{b.host}); err != nil {
			t.Error(err)
		}
		b.is(t, "pressed", picmg.M2, false)
	})
}

// Linux ends an ATCA board by Set Power Level (ipmi_poweroff.c): a poweroff as
// any other.
func TestGuestSetPowerLevelLeaves(t *testing.T) {
	for leaves, want := range map[bool]picmg.State{true: picmg.M5, false: picmg.M4} {
		b := newBoard(t, ProfileATCA)
		c := carrier{self: self, vm: b.vm, swap: b.swap, leaves: leaves}
		if _, err := c.setPower(t.Context(), &ipmb.Request{Data: []byte{0, 0, 0}, Origin: b.origin()}); err != nil {
			t.Error(err)
		}
		if got := b.swap.get().State; got != want {
			t.Errorf("leaves %v: %v", leaves, got)
		}
	}
}

// An event that a process could not make any more is the next one's first.
func TestHotSwapEventIsNotLost(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	b.shelf("04 00 20 00")
	untold := picmg.HotSwapEvent{State: picmg.M5, Previous: picmg.M4, Cause: picmg.CauseProgram}
	b.swap.mu.Lock()
	err := b.swap.keep(hotSwapState{HotSwap: picmg.HotSwap{State: picmg.M5}, Untold: &untold})
	b.swap.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b.kill()
		b.start()
		if got := strings.Join(b.told(), " "); got != "f0006fa53400" {
			t.Errorf("events %q", got)
		}
	}
}

// A board whose state cannot be kept has not changed it.
func TestHotSwapNotKept(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	b.swap.records = swapRecordsFull{b.swap.records}
	if got := b.shelf("2c 0c 00 00 00"); got != "ff 00" || len(b.vm.took()) > 0 || b.swap.get().State != picmg.M4 {
		t.Errorf("%s, %v", got, b.swap.get())
	}
}

// swapRecordsFull have no room any more.
type swapRecordsFull struct{ mc.Records }

func (swapRecordsFull) Put(string, []byte) error { return fmt.Errorf("disk full") }

// A board of before has the state that its grant tells of.
func TestHotSwapBegins(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	if err := (store{b.db}).saveGranted(false); err != nil {
		t.Fatal(err)
	}
	b.kill()
	b.start()
	if got := b.swap.get().State; got != picmg.M1 {
		t.Errorf("%v without a grant", got)
	}
	if server := newBoard(t, ProfileServer); server.swap != nil || server.guest("04 2d 00") != "cb" {
		t.Error("a server has a hot-swap state")
	}
}

// A guest neither activates its neighbours nor deactivates them, nor its own.
func TestGuestsDoNotActivate(t *testing.T) {
	for _, ask := range []string{"2c 0c 00 00 00", "2c 0c 00 00 01", "2c 0a 00 00 03 03", "2c 11 00 00 00 00"} {
		b := newBoard(t, ProfileATCA)
		raw := unhex(t, ask)
		f := request(other, 0, ipmb.NetFn(raw[0]), ipmb.Cmd(raw[1]), raw[2:]...)
		if code := b.send(f); code != ipmb.ErrPrivilege || len(b.bus.messages()) > 0 {
			t.Errorf("%s to a neighbour: %v", ask, code)
		}
		f.To, f.From = self, other
		b.Deliver(t.Context(), ipmb.Message{ID: 7, Instance: "other", Frame: f, Origin: ipmb.Origin{
			Speaker: ipmb.SpeakerGuest, Privilege: ipmb.PrivilegeAdmin,
		}})
		if r, ok := b.bus.wait(t, 1)[0].Frame.Response(); !ok || r.Code != ipmb.ErrPrivilege || b.swap.get().State != picmg.M4 {
			t.Errorf("%s of a neighbour's guest: %v", ask, r.Code)
		}
	}
}
