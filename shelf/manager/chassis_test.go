package manager

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/midplane-project/midplane/ipmb"
)

// powered is a node as far as its chassis goes.
type powered struct {
	mu    sync.Mutex
	on    bool
	fault byte
	code  ipmb.CompletionCode // of its answers to Chassis Control; OK: it obeys
	none  bool                // it has no chassis
	mute  bool                // it does, and does not answer
	done  []byte              // the actions, each once
	names []string            // of the requests for them
	known map[string]bool
}

func (p *powered) serve(_ context.Context, req *ipmb.Request) ipmb.Response {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case req.NetFn == ipmb.NetFnSensor && req.Cmd == cmdSetEventReceiver:
		return ipmb.Response{}
	case req.NetFn != ipmb.NetFnChassis || p.none:
		return ipmb.Response{Code: ipmb.ErrInvalidCommand}
	case req.Origin.Speaker != ipmb.SpeakerController || req.Origin.Privilege != admin:
		return ipmb.Response{Code: ipmb.ErrPrivilege}
	case req.Cmd == cmdChassisStatus:
		status := []byte{p.fault, 0, 0x40 | 0x08, 0x70}
		if p.on {
			status[0] |= 1
		}
		return ipmb.Response{Data: status}
	}
	return p.control(req)
}

// control obeys, and a repeat only in words, as nodes do.
func (p *powered) control(req *ipmb.Request) ipmb.Response {
	name := fmt.Sprintf("%x/%d", req.Origin.Instance, req.Origin.ID)
	if p.code == ipmb.OK && !p.known[name] {
		if p.known == nil {
			p.known = make(map[string]bool)
		}
		p.known[name] = true
		p.done = append(p.done, req.Data[0])
		p.on = req.Data[0] != chassisDown && req.Data[0] != chassisSoft
	}
	p.names = append(p.names, name)
	if p.mute {
		return ipmb.Response{Code: ipmb.ErrNoResponse}
	}
	return ipmb.Response{Code: p.code}
}

func (p *powered) set(f func(*powered)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

func (p *powered) actions() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.done)
}

func (p *powered) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.names)
}

// order gives Chassis Control as an administrator of the shelf.
func (r *replica) order(t testing.TB, action byte) ipmb.CompletionCode {
	t.Helper()
	a, err := r.Raw(t.Context(), ipmb.AddrShelfManager, &ipmb.Request{
		NetFn: ipmb.NetFnChassis, Cmd: cmdChassisControl, Data: []byte{action},
		Origin: ipmb.Origin{Speaker: ipmb.SpeakerAPI, Door: ipmb.DoorAPI, Privilege: admin},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a.Code
}

// status is the first and third byte of Get Chassis Status.
func (r *replica) status(t testing.TB) [2]byte {
	t.Helper()
	code, data := r.ask(t, r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnChassis, cmdChassisStatus))
	if code != ipmb.OK || len(data) != 3 {
		t.Fatalf("status: %v % x", code, data)
	}
	return [2]byte{data[0], data[2]}
}

func (r *replica) pendingSlots(t testing.TB) int {
	t.Helper()
	o, err := r.Manager.order()
	if err != nil {
		t.Fatal(err)
	}
	return len(o.pending)
}

// shelfOf is a replica in office with a node in each slot. It must be stopped.
func shelfOf(t *testing.T, one, two *powered) (r *replica, stop func()) {
	t.Helper()
	r = newReplica(newFakeCluster(t), 1)
	r.bus.attach(blade1, r.claim(t, 0x41, 1), one.serve)
	r.bus.attach(blade2, r.claim(t, 0x42, 1), two.serve)
	stop = r.lead(t)
	synctest.Wait()
	return r, stop
}

func TestChassisStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &powered{}, &powered{}
		r, stop := shelfOf(t, one, two)
		defer stop()
		steps := []struct {
			what string
			do   func()
			want [2]byte
		}{
			{"all off", func() {}, [2]byte{0x60, 0x48}},
			{"one is on", func() { two.set(func(p *powered) { p.on = true }) }, [2]byte{0x61, 0x48}},
			{"a fault", func() { one.set(func(p *powered) { p.fault = 0x08 }) }, [2]byte{0x69, 0x48}},
			{"one has no chassis, the other is off", func() {
				one.set(func(p *powered) { p.none = true })
				two.set(func(p *powered) { p.on = false })
			}, [2]byte{0x60, 0x48}},
			{"nobody can be reached", r.bus.detachAll, [2]byte{0x61, 0x40}},
		}
		for _, s := range steps {
			s.do()
			if got := r.status(t); got != s.want {
				t.Errorf("%s: % x, want % x", s.what, got, s.want)
			}
		}
		time.Sleep(time.Minute)
		if got := r.status(t); got != [2]byte{0x60, 0x40} {
			t.Errorf("nobody holds a slot any more: % x", got)
		}
	})
}

// What an administrator orders, every node does, once. The answer does not wait
// for it.
func TestChassisControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &powered{}, &powered{none: true}
		r, stop := shelfOf(t, one, two)
		defer stop()
		for _, action := range []byte{chassisUp, chassisCycle, chassisReset, chassisSoft, chassisDown} {
			if code := r.order(t, action); code != ipmb.OK {
				t.Errorf("action %d: %v", action, code)
			}
			synctest.Wait()
			want := byte(0x60)
			if action == chassisUp || action == chassisCycle || action == chassisReset {
				want |= statusOn
			}
			if got := r.status(t); got[0] != want || r.pendingSlots(t) != 0 {
				t.Errorf("after action %d: status % x, %d slots pending", action, got, r.pendingSlots(t))
			}
		}
		if d := cmp.Diff([]byte{chassisUp, chassisCycle, chassisReset, chassisSoft, chassisDown}, one.actions()); d != "" {
			t.Errorf("done (-want +got):\n%s", d)
		}
		for _, action := range []byte{4, 6, 15} {
			if code := r.order(t, action); code != ipmb.ErrInvalidField {
				t.Errorf("action %d: %v", action, code)
			}
		}
	})
}

// Only an administrator of the shelf may, whatever the guest policy says.
func TestChassisControlIsTheAdministrators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t)
		r := newReplica(c, 1)
		r.cfg.Policy = ipmb.NewGuestPolicy([]ipmb.CommandID{{NetFn: ipmb.NetFnChassis, Cmd: cmdChassisControl}})
		p := &powered{on: true}
		r.bus.attach(blade1, r.claim(t, 0x41, 1), p.serve)
		defer r.lead(t)()
		for _, o := range []ipmb.Origin{
			{Speaker: ipmb.SpeakerGuest, Privilege: admin},
			{Speaker: ipmb.SpeakerController, Privilege: ipmb.PrivilegeOperator},
			{Speaker: ipmb.SpeakerSession, Privilege: ipmb.PrivilegeOperator},
		} {
			m := r.message(blade1, o.Speaker, ipmb.NetFnChassis, cmdChassisControl, chassisDown)
			m.Origin = o
			if code, _ := r.ask(t, m); code != ipmb.ErrPrivilege {
				t.Errorf("%v with %v: %v, want D4h", o.Speaker, o.Privilege, code)
			}
		}
		synctest.Wait()
		if done := p.actions(); len(done) != 0 {
			t.Errorf("done: %v", done)
		}
	})
}

// A request that comes again is one order.
func TestChassisControlOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &powered{}, &powered{}
		r, stop := shelfOf(t, one, two)
		defer stop()
		m := r.trusting().message(blade1, ipmb.SpeakerController, ipmb.NetFnChassis, cmdChassisControl, chassisCycle)
		m.Origin.Privilege = admin
		for range 3 {
			if code, _ := r.ask(t, m); code != ipmb.OK {
				t.Errorf("%v", code)
			}
			synctest.Wait()
		}
		if d := cmp.Diff([]byte{chassisCycle}, one.actions()); d != "" {
			t.Errorf("done (-want +got):\n%s", d)
		}
	})
}

// A new leader goes on where the old one stopped; a node that had obeyed
// without being heard does not do so twice.
func TestChassisControlAfterFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &powered{mute: true}, &powered{code: ipmb.ErrBusy}
		first, stop := shelfOf(t, one, two)
		first.order(t, chassisCycle)
		time.Sleep(1500 * time.Millisecond)
		stop()
		if len(one.actions()) != 1 || len(two.actions()) != 0 || first.pendingSlots(t) != 2 {
			t.Fatalf("before: %v, %v, %d slots pending", one.actions(), two.actions(), first.pendingSlots(t))
		}
		one.set(func(p *powered) { p.mute = false })
		two.set(func(p *powered) { p.code = ipmb.OK })
		second := newReplica(first.raft.cluster, 2)
		second.bus.attach(blade1, 1, one.serve)
		second.bus.attach(blade2, 1, two.serve)
		defer second.lead(t)()
		synctest.Wait()
		want := []byte{chassisCycle}
		if !cmp.Equal(want, one.actions()) || !cmp.Equal(want, two.actions()) || second.pendingSlots(t) != 0 {
			t.Errorf("after: %v, %v, %d slots pending", one.actions(), two.actions(), second.pendingSlots(t))
		}
	})
}

// A busy node is asked again under another name; one that refuses has answered.
func TestChassisControlOfTheUnwilling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &powered{code: ipmb.ErrBusy}, &powered{code: ipmb.ErrState}
		r, stop := shelfOf(t, one, two)
		defer stop()
		r.order(t, chassisUp)
		time.Sleep(5 * orderAgain / 2)
		busy, refuses := one.asked(), two.asked()
		if r.pendingSlots(t) != 1 || len(refuses) != 1 || len(busy) != 3 || busy[0] == busy[1] {
			t.Errorf("%d slots pending; asked %v and %v", r.pendingSlots(t), busy, refuses)
		}
		time.Sleep(orderPatience)
		if n := len(one.asked()); r.pendingSlots(t) != 0 || n > 32 {
			t.Errorf("%d slots pending, asked %d times", r.pendingSlots(t), n)
		}
	})
}

// A holder that cannot be reached gets the order when it is back, unless that
// takes too long, a newer order came, or another holds the slot.
func TestChassisControlOfTheAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &powered{}, &powered{}
		r, stop := shelfOf(t, one, two)
		defer stop()
		r.bus.detachAll()
		r.order(t, chassisUp)
		r.order(t, chassisReset)
		time.Sleep(5 * time.Second)
		r.bus.attach(blade1, 1, one.serve)
		r.bus.attach(blade2, r.claim(t, 0x42, 2), two.serve)
		time.Sleep(2 * time.Second)
		if !cmp.Equal([]byte{chassisReset}, one.actions()) || len(two.actions()) != 0 || r.pendingSlots(t) != 0 {
			t.Errorf("back: %v; booted: %v; %d slots pending", one.actions(), two.actions(), r.pendingSlots(t))
		}
	})
}

func FuzzOrder(f *testing.F) {
	f.Add((&order{1, chassisUp, 2, []orderSlot{{0x41, 3}, {0x42, 4}}}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := parseOrder(b)
		if err != nil {
			return
		}
		if again := o.append(nil); string(again) != string(b) {
			t.Errorf("% x became % x", b, again)
		}
	})
}
