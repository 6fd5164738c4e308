package powertest_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/power/powertest"
)

func kinds(s *power.Events) []power.EventKind {
	var got []power.EventKind
	for e := range s.C() {
		got = append(got, e.Kind)
	}
	return got
}

func TestLife(t *testing.T) {
	v, ctx := powertest.New(), t.Context()
	events := v.Subscribe(32)
	if err := v.Reset(ctx); !errors.Is(err, power.ErrNotRunning) {
		t.Errorf("Reset while off: %v", err)
	}
	if err := v.Adopt(ctx); !errors.Is(err, power.ErrNotRunning) {
		t.Errorf("Adopt while off: %v", err)
	}
	if err := errors.Join(v.Start(ctx), v.Cont(ctx), v.Stop(ctx), v.Reset(ctx)); err != nil || v.State() != power.Prelaunch {
		t.Errorf("%v, %v", v.State(), err)
	}
	if err := v.Start(ctx); !errors.Is(err, power.ErrRunning) {
		t.Errorf("second Start: %v", err)
	}
	if err := errors.Join(v.Cont(ctx), v.PowerDown(ctx)); err != nil || v.State() != power.Off {
		t.Errorf("%v, %v", v.State(), err)
	}
	broken := errors.New("no QEMU")
	if v.Fail("Start", broken); !errors.Is(v.Start(ctx), broken) {
		t.Error("Fail had no effect")
	}
	v.Close()
	want := []power.EventKind{
		power.EventStarted, power.EventResume, power.EventStop, power.EventReset,
		power.EventResume, power.EventPowerDown, power.EventShutdown, power.EventExited,
	}
	if got := kinds(events); !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

func TestBoots(t *testing.T) {
	v, ctx := powertest.New(), t.Context()
	v.BootNext(power.Boot{Order: "n", Once: true})
	if err := errors.Join(v.Start(ctx), v.Reset(ctx), v.Reorder(ctx, "d"), v.Reset(ctx), v.Reset(ctx)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"n", "", "d", "d"}; !slices.Equal(v.Boots(), want) {
		t.Errorf("booted by %q, want %q", v.Boots(), want)
	}
}
