package manager

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// board is a controller with device SDRs, served by the part that nodes use.
type board struct {
	addr ipmb.Addr
	mux  *ipmb.Mux

	mu        sync.Mutex
	records   []mc.SDRRecord
	indicator []byte // appended to Get Device SDR Info
	reads     int    // of device SDRs
}

func newBoard(t testing.TB, a ipmb.Addr, bodies ...sdr.Body) *board {
	t.Helper()
	b := &board{addr: a}
	b.set(t, bodies...)
	receiver := mc.NewEventReceiver(mc.Receiver{Addr: mc.ReceiverNone}, func(mc.Receiver) error { return nil })
	b.mux = ipmb.NewMux(receiver.Commands(), new(mc.Sensors).DeviceSDRCommands(b))
	return b
}

func (b *board) set(t testing.TB, bodies ...sdr.Body) {
	t.Helper()
	var records []mc.SDRRecord
	for i, body := range bodies {
		r, err := sdr.Marshal(uint16(i+1), body)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records = records
}

// SDRs implements mc.SDRSource.
func (b *board) SDRs(context.Context) ([]mc.SDRRecord, time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.records, time.Unix(int64(len(b.records)), 0), nil
}

func (b *board) serve(ctx context.Context, req *ipmb.Request) ipmb.Response {
	if req.Origin.Speaker != ipmb.SpeakerController || req.Origin.Privilege != admin {
		return ipmb.Response{Code: ipmb.ErrUnspecified}
	}
	r := b.mux.ServeIPMI(ctx, req)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case len(r.Data) > 24:
		return ipmb.Response{Code: ipmb.ErrCannotReturn} // no room in a message of IPMB
	case req.NetFn == ipmb.NetFnSensor && req.Cmd == cmdDeviceSDRInfo:
		r.Data = append(r.Data, b.indicator...)
	case req.NetFn == ipmb.NetFnSensor && req.Cmd == cmdReserveDeviceSDR:
		b.reads++
	}
	return r
}

func (b *board) timesRead() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reads
}

func sensor(owner ipmb.Addr, number uint8, name string) *sdr.Compact {
	return &sdr.Compact{Sensor: sdr.Sensor{Key: sdr.Key{Owner: uint8(owner), Number: number}, Kind: 0x22, EventType: 0x6F}, Name: name}
}

// locator is what a board says of itself.
func (b *board) locator(name string) *sdr.MCLocator {
	return &sdr.MCLocator{Addr: b.addr, Name: name, Capabilities: 0x29, Entity: sdr.Entity{ID: sdr.EntityFrontBoard, Instance: sdr.DeviceRelative}}
}

// listed is a record as a client sees it.
type listed struct {
	ID    uint16
	Type  sdr.Type
	Owner ipmb.Addr
	Name  string
}

// list reads the repository as a client does, and gives its time stamps.
func (r *replica) list(t testing.TB) (records []listed, stamps [8]byte) {
	t.Helper()
	code, info := r.ask(t, r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnStorage, 0x20))
	if code != ipmb.OK {
		t.Fatalf("info: %v", code)
	}
	for id := sdr.FirstID; id != sdr.LastID; {
		code, data := r.ask(t, r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnStorage, 0x23, 0, 0, byte(id), byte(id>>8), 0, 0xFF))
		if code != ipmb.OK {
			t.Fatalf("record %04x: %v", id, code)
		}
		id = binary.LittleEndian.Uint16(data)
		records = append(records, view(t, data[2:]))
	}
	if n := int(binary.LittleEndian.Uint16(info[1:])); n != len(records) {
		t.Errorf("%d records by the info, %d in the list", n, len(records))
	}
	return records, [8]byte(info[5:])
}

func view(t testing.TB, record []byte) listed {
	t.Helper()
	h, body, err := sdr.Parse(record)
	if err != nil {
		t.Fatalf("% x: %v", record, err)
	}
	l := listed{ID: h.ID, Type: h.Type}
	switch b := body.(type) {
	case *sdr.Compact:
		l.Owner, l.Name = ipmb.Addr(b.Owner), b.Name
	case *sdr.MCLocator:
		l.Owner, l.Name = b.Addr, b.Name
	case *sdr.FRULocator:
		l.Owner, l.Name = b.Owner, b.Name
	}
	return l
}

var ownRecords = []listed{
	{0x10, sdr.TypeMCLocator, 0x20, "Shelf Manager"},
	{0x1001, sdr.TypeCompact, 0x20, "Replicas"},
	{0x1002, sdr.TypeCompact, 0x20, "Event Log"},
}

// union gives what the repository is to hold: 0x20's own records and
// others, in order of their ids.
func union(others ...listed) []listed {
	all := slices.Concat(ownRecords, others)
	slices.SortFunc(all, func(a, b listed) int { return int(a.ID) - int(b.ID) })
	return all
}

// The repository is the union: locators, and whatever the controllers tell of
// their own; what they tell of others stays out.
func TestRepositoryIsTheUnion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(newFakeCluster(t), 1)
		one := newBoard(t, blade1)
		one.set(t, one.locator("Blade One"), sensor(blade1, 1, "VM State"), sensor(blade2, 2, "not mine"), sensor(blade1, 3, "Temp"))
		two := newBoard(t, blade2, sensor(blade2, 1, "VM State"),
			&sdr.FRULocator{Owner: blade2, FRU: 1, Logical: true, DeviceType: sdr.LogicalFRU, Name: "RTM"})
		r.bus.attach(blade1, r.claim(t, 0x41, 1), one.serve)
		r.bus.attach(blade2, r.claim(t, 0x42, 1), two.serve)
		defer r.lead(t)()
		synctest.Wait()
		want := union(
			listed{0x41, sdr.TypeMCLocator, blade1, "Blade One"}, listed{0x42, sdr.TypeMCLocator, blade2, "blade2"},
			listed{0x4102, sdr.TypeCompact, blade1, "VM State"}, listed{0x4104, sdr.TypeCompact, blade1, "Temp"},
			listed{0x4201, sdr.TypeCompact, blade2, "VM State"}, listed{0x4202, sdr.TypeFRULocator, blade2, "RTM"},
		)
		got, stamps := r.list(t)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("records (-want +got):\n%s", d)
		}
		time.Sleep(time.Hour)
		if again, later := r.list(t); later != stamps || !cmp.Equal(got, again) {
			t.Errorf("an hour of peace changed the stamps from % x to % x, records %v", stamps, later, again)
		}
		if one.timesRead() != 1 || two.timesRead() != 1 {
			t.Errorf("read %d and %d times", one.timesRead(), two.timesRead())
		}
	})
}

// Whatever changes is found: by the count, by the indicator, by a new boot. The
// stamps move with it, and each record keeps its id.
func TestRepositoryFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(newFakeCluster(t), 1)
		defer r.lead(t)()
		b := newBoard(t, blade1, sensor(blade1, 1, "first"))
		r.bus.attach(blade1, r.claim(t, 0x41, 1), b.serve)
		locator := listed{0x41, sdr.TypeMCLocator, blade1, "blade1"}
		var last [8]byte
		expect := func(what string, wait time.Duration, others ...listed) {
			t.Helper()
			r.kick()
			time.Sleep(wait)
			synctest.Wait()
			got, stamps := r.list(t)
			if d := cmp.Diff(union(others...), got); d != "" {
				t.Errorf("%s (-want +got):\n%s", what, d)
			}
			if stamps == last {
				t.Errorf("%s: the stamps did not move", what)
			}
			last = stamps
		}
		first := listed{0x4101, sdr.TypeCompact, blade1, "first"}
		expect("at first", 0, locator, first)
		b.set(t, sensor(blade1, 1, "first"), sensor(blade1, 2, "second"))
		expect("more records", sdrPoll+lookAgain, locator, first, listed{0x4102, sdr.TypeCompact, blade1, "second"})
		b.set(t, sensor(blade1, 1, "first"), sensor(blade1, 2, "other"))
		b.mu.Lock()
		b.indicator = []byte{1, 0, 0, 0}
		b.mu.Unlock()
		expect("another indicator", sdrPoll+lookAgain, locator, first, listed{0x4102, sdr.TypeCompact, blade1, "other"})
		b.set(t, sensor(blade1, 1, "first"), sensor(blade1, 2, "rebooted"))
		r.bus.detachAll()
		r.bus.attach(blade1, r.claim(t, 0x41, 2), b.serve)
		expect("a new boot", 0, locator, first, listed{0x4102, sdr.TypeCompact, blade1, "rebooted"})
		r.Detach(t.Context(), 0x41, 2)
		expect("gone for good", 0)
	})
}

// A controller that has lost contact keeps its records as long as its slot;
// when it comes back, it is asked whether they have changed.
func TestRepositoryOutlivesContact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(newFakeCluster(t), 1)
		defer r.lead(t)()
		b := newBoard(t, blade1, sensor(blade1, 1, "first"))
		epoch := r.claim(t, 0x41, 1)
		r.bus.attach(blade1, epoch, b.serve)
		r.kick()
		synctest.Wait()
		before, stamps := r.list(t)
		r.bus.detachAll()
		time.Sleep(lossGrace + 2*time.Second)
		if after, later := r.list(t); !r.slot(t, 0x41).ContactLost || !cmp.Equal(before, after) || stamps != later {
			t.Errorf("with contact lost: %v at % x, want %v at % x", after, later, before, stamps)
		}
		b.set(t, sensor(blade1, 1, "first"), sensor(blade1, 2, "second"))
		r.bus.attach(blade1, epoch, b.serve)
		time.Sleep(2 * lookAgain)
		if after, _ := r.list(t); len(after) != len(before)+1 {
			t.Errorf("back again: %v", after)
		}
	})
}

// Another instance in a slot has records of its own, and none of the one before.
func TestRepositoryOfAnotherHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(newFakeCluster(t), 1)
		defer r.lead(t)()
		b := newBoard(t, blade1, sensor(blade1, 1, "old"))
		r.bus.attach(blade1, r.claim(t, 0x41, 1), b.serve)
		r.kick()
		synctest.Wait()
		r.bus.detachAll()
		r.Detach(t.Context(), 0x41, 1)
		a := r.Claim(t.Context(), &v1.NodeHello{
			Shelf: "lab", HardwareAddress: 0x41, Instance: []byte("another instance"), Boot: 1, Name: "new",
		})
		if a.GetRefusal() != nil {
			t.Fatal(a.GetRefusal())
		}
		synctest.Wait()
		got, _ := r.list(t)
		if d := cmp.Diff(union(listed{0x41, sdr.TypeMCLocator, blade1, "new"}), got); d != "" {
			t.Errorf("records (-want +got):\n%s", d)
		}
	})
}

// A new leader gives the same records under the same ids and times before it
// has asked anybody. Then it reads them anew, and finds what has changed.
func TestRepositoryAfterFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t)
		first := newReplica(c, 1)
		stop := first.lead(t)
		b := newBoard(t, blade1, sensor(blade1, 1, "first"), sensor(blade1, 2, "second"))
		epoch := first.claim(t, 0x41, 1)
		first.bus.attach(blade1, epoch, b.serve)
		first.kick()
		synctest.Wait()
		before, stamps := first.list(t)
		stop()
		second := newReplica(c, 2)
		defer second.lead(t)()
		synctest.Wait()
		if after, later := second.list(t); !cmp.Equal(before, after) || later != stamps {
			t.Errorf("at the new leader: %v at % x, want %v at % x", after, later, before, stamps)
		}
		second.bus.attach(blade1, epoch, b.serve)
		time.Sleep(lookAgain)
		synctest.Wait()
		if _, later := second.list(t); later != stamps || b.timesRead() != 2 {
			t.Errorf("read %d times, stamps % x, want % x", b.timesRead(), later, stamps)
		}
	})
}

// Of several changes within a second each has a stamp of its own.
func TestStamps(t *testing.T) {
	now := time.Unix(1000, 5)
	var last []byte
	for i := range 5 {
		last = nextStamp(last, now)
		if got := parseStamp(last).Unix(); got != 1000+int64(i) {
			t.Errorf("change %d at %d", i, got)
		}
	}
	if got := parseStamp(nextStamp(last, now.Add(time.Hour))); !got.Equal(now.Add(time.Hour)) {
		t.Errorf("an hour later: %v", got)
	}
}

// Ids are of the controller's hardware address, and no two are the same.
func TestIDs(t *testing.T) {
	record := func(id uint16) mc.SDRRecord { return append(binary.LittleEndian.AppendUint16(nil, id), 0x51, 0xC0, 0) }
	device := []mc.SDRRecord{record(0x0101), record(0x0001), record(0x0201), record(0xFFFE)}
	got := fmt.Sprintf("%04x", idsFor(0x7F, device, map[uint16]uint16{0x0001: 0x7F01}))
	if want := "[7f02 7f01 7f03 7ffe]"; got != want {
		t.Errorf("ids %s, want %s", got, want)
	}
}
