package pef

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

const (
	tooHot   = "01 30 01 59 4B 46" // upper critical going high, as a guest's ipmitool event 1
	enable   = "04 12 01 01"
	disable  = "04 12 01 00"
	announce = "04 12 01 03"
)

// filter9 sets filter 9 to do something about temperatures that are too high.
func filter9(actions string) string {
	return "04 12 06 09 80" + actions + "01 10 FF FF 01 FF 01 14 0A 00 FF 00 00 FF 00 00 FF 00"
}

func TestActions(t *testing.T) {
	for _, c := range []struct{ actions, did string }{
		{"02", "off"},
		{"04", "reset"},
		{"08", "cycle"},
		{"20", "nmi"},
		{"2E", "off"}, // one action for one event
		{"00", ""},
		{"01", ""},
	} {
		inBench(t, func(t *testing.T, b *bench) {
			b.set(filter9(c.actions), enable)
			b.happens("01 30 01 57 FF FF") // not critical
			b.happens("02 30 01 59 FF FF") // a voltage
			if did := b.system.took(); did != "" {
				t.Errorf("%s: did %s about other events", c.actions, did)
			}
			b.happens(tooHot)
			if did := b.system.took(); did != c.did {
				t.Errorf("%s: did %q, want %q", c.actions, did, c.did)
			}
			b.system.fail = errors.New("the VM is off")
			b.happens(tooHot) // and goes on
			if got := b.ask("04 15"); !strings.HasSuffix(got, "04 00 ff ff 04 00") {
				t.Errorf("%s: processed %s", c.actions, got)
			}
		})
	}
}

func TestActionsThatAreOff(t *testing.T) {
	inBench(t, func(t *testing.T, b *bench) {
		b.set(filter9("06"))
		b.happens(tooHot)
		if did := b.system.took(); did != "" {
			t.Errorf("PEF is off, and did %s", did)
		}
		b.set(enable)
		synctest.Wait()
		if did := b.system.took(); did != "" {
			t.Errorf("did %s about what happened before", did)
		}
		b.set("04 12 02 04") // resets only
		b.happens(tooHot)
		if did := b.system.took(); did != "reset" {
			t.Errorf("did %s", did)
		}
		b.set("04 12 07 09 00")
		b.happens(tooHot)
		b.set("04 12 07 09 80", disable)
		b.happens(tooHot)
		if did := b.system.took(); did != "" {
			t.Errorf("the filter, or PEF, is off, and did %s", did)
		}
	})
}

// An action is told of before it is taken, by an event that no filter sees.
func TestActionEvent(t *testing.T) {
	inBench(t, func(t *testing.T, b *bench) {
		everything := "04 12 06 0A 80 04 01 00 FF FF FF FF FF FF FF 00 FF 00 00 FF 00 00 FF 00"
		b.set(everything, announce)
		b.happens(tooHot)
		if did := b.system.took(); did != "reset" {
			t.Errorf("did %s", did)
		}
		if n := len(b.log.rows); n != 2 {
			t.Fatalf("%d records", n)
		}
		if got := fmt.Sprintf("% x", b.log.rows[1][7:]); got != "82 00 04 12 12 6f c4 04 ff" {
			t.Errorf("told %s", got)
		}
		if got := b.ask("04 15"); got != "00 00 00 00 5f 02 00 ff ff 02 00" {
			t.Errorf("processed %s", got)
		}
		b.happens("12 12 6F C4 04 FF") // the same of another controller
		if did := b.system.took(); did != "reset" {
			t.Errorf("did %s", did)
		}
	})
}

// An event that is not logged is filtered as well; its record has no id.
func TestUnlogged(t *testing.T) {
	inBench(t, func(t *testing.T, b *bench) {
		b.set(filter9("02"), enable)
		b.happens("01 30 01 57 FF FF")
		b.log.off = true
		b.happens(tooHot)
		if did := b.system.took(); did != "off" {
			t.Errorf("did %s", did)
		}
		if got := b.ask("04 15"); got != "00 00 00 00 5f 01 00 ff ff 00 00" {
			t.Errorf("processed %s", got)
		}
	})
}

func TestPostponed(t *testing.T) {
	inBench(t, func(t *testing.T, b *bench) {
		b.set(filter9("02"), enable, "04 11 0A")
		time.Sleep(time.Hour)
		if got := b.ask("04 11 FF"); got != "00 0a" {
			t.Errorf("nothing happened, %s left", got)
		}
		b.happens(tooHot)
		time.Sleep(6 * time.Second)
		if got := b.ask("04 11 FF"); got != "00 04" || b.system.took() != "" {
			t.Errorf("%s left", got)
		}
		b.set("04 14 00 01 00") // software has done it
		time.Sleep(time.Hour)
		if got := b.ask("04 11 FF"); got != "00 0a" || b.system.took() != "" {
			t.Errorf("%s left", got)
		}
		b.happens(tooHot)
		b.happens(tooHot)
		time.Sleep(9 * time.Second)
		b.set("04 14 00 02 00") // software has done one of two
		time.Sleep(500 * time.Millisecond)
		if did := b.system.took(); did != "" {
			t.Errorf("too soon: %s", did)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if did := b.system.took(); did != "off" {
			t.Errorf("in the end did %q", did)
		}
		if got := b.ask("04 11 FF"); got != "00 00" {
			t.Errorf("%s left", got)
		}
		if got := b.ask("04 15"); got != "00 00 00 00 5f 03 00 02 00 03 00" {
			t.Errorf("processed %s", got)
		}
	})
}

// What waits is filtered as soon as nobody wants to wait.
func TestPostponedForGood(t *testing.T) {
	for name, end := range map[string]func(*bench){
		"software lets go":  func(b *bench) { b.set("04 11 00") },
		"the system resets": func(b *bench) { b.System(true) },
		"or is powered off": func(b *bench) { b.System(false) },
	} {
		inBench(t, func(t *testing.T, b *bench) {
			b.set(filter9("02"), enable, "04 11 FE")
			b.happens(tooHot)
			time.Sleep(24 * time.Hour)
			b.restart()
			if did := b.system.took(); did != "" || b.ask("04 11 FF") != "00 fe" {
				t.Errorf("%s: did %s before", name, did)
			}
			end(b)
			synctest.Wait()
			if did := b.system.took(); did != "off" || b.ask("04 11 FF") != "00 00" {
				t.Errorf("%s: did %q", name, did)
			}
		})
	}
}

func TestStartupDelay(t *testing.T) {
	inBench(t, func(t *testing.T, b *bench) {
		b.set(filter9("04"), "04 12 01 05", "04 12 03 14")
		b.happens(tooHot)
		if did := b.system.took(); did != "reset" {
			t.Errorf("before any start did %q", did)
		}
		b.System(true)
		b.happens(tooHot)
		time.Sleep(19 * time.Second)
		if did := b.system.took(); did != "" {
			t.Errorf("too soon: %s", did)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if did := b.system.took(); did != "reset" {
			t.Errorf("after the delay did %q", did)
		}
	})
}

// A PEF that was killed goes on with what was logged and not filtered, once.
func TestKilled(t *testing.T) {
	inBench(t, func(t *testing.T, b *bench) {
		b.set(filter9("02"), enable)
		b.happens(tooHot)
		b.restart()
		if did := b.system.took(); did != "off" {
			t.Errorf("did %q", did)
		}
		b.stop()
		if err := b.event(0x20, unhex(t, "04"+tooHot)); err != nil {
			t.Fatal(err)
		}
		b.restart()
		b.restart()
		if did := b.system.took(); did != "off" {
			t.Errorf("after the kill did %q", did)
		}
	})
}

func TestSetProcessed(t *testing.T) {
	inBench(t, func(t *testing.T, b *bench) {
		b.exchange([]exchange{{"nothing yet", "04 15", "00 FFFFFFFF FFFF FFFF FFFF"}})
		b.happens(tooHot)
		b.happens(tooHot)
		b.exchange([]exchange{
			{"by software", "04 14 00 01 00", "00"},
			{"by the controller", "04 14 01 02 00", "00"},
			{"what is not", "04 14 00 03 00", "CB"},
			{"reserved", "04 14 02 01 00", "CC"},
			{"short", "04 14 00 01", "C7"},
			{"read back", "04 15", "00 0000005F 0200 0100 0200"},
			{"none", "04 14 00 FF FF", "00"},
		})
		b.restart()
		b.exchange([]exchange{{"kept", "04 15", "00 0000005F 0200 FFFF 0200"}})
	})
}

// Records that software adds are none of the events, not even after a kill.
func TestAdded(t *testing.T) {
	inBench(t, func(t *testing.T, b *bench) {
		b.set(filter9("02"), enable)
		b.happens(tooHot)
		if did := b.system.took(); did != "off" {
			t.Fatal(did)
		}
		if err := b.Added(b.log.add(b.log.rows[0]).ID()); err != nil {
			t.Fatal(err)
		}
		b.restart()
		if did := b.system.took(); did != "" {
			t.Errorf("did %s", did)
		}
		b.set("04 11 FE") // one that is added while an event waits
		b.happens(tooHot)
		if err := b.Added(b.log.add(b.log.rows[0]).ID()); err != nil {
			t.Fatal(err)
		}
		b.set("04 11 00")
		synctest.Wait()
		b.restart()
		if did := b.system.took(); did != "off" {
			t.Errorf("did %q, want one event's action", did)
		}
	})
}

// However a log grows, shrinks and is cleared, and whenever the process is
// killed, each event is filtered once, unless it was erased before that.
func TestEachEventOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			defer func() { b.stop() }()
			b.log.next = uint16(rapid.SampledFrom([]int{1, idsInAll - 3}).Draw(rt, "next"))
			b.set(filter9("20"), enable)
			b.run()
			held, waiting := false, 0 // events that are logged and not filtered
			logged := map[uint16]bool{}
			steps := rapid.SliceOfN(rapid.SampledFrom([]string{"event", "event", "kill", "kill+event", "delete last", "delete first", "clear", "hold", "release"}), 1, 30).Draw(rt, "steps")
			for _, step := range steps {
				want := 0
				switch step {
				case "event":
					b.happens(tooHot)
					logged[b.log.rows[len(b.log.rows)-1].ID()] = true
					waiting++
				case "kill", "kill+event":
					b.stop()
					if step == "kill+event" {
						_ = b.event(0x20, unhex(t, "04"+tooHot))
						logged[b.log.rows[len(b.log.rows)-1].ID()] = true
					}
					waiting = b.stillThere(logged)
					b.idsAnew()
					b.make()
					b.run()
				case "delete last", "delete first":
					if n := len(b.log.rows); n > 0 {
						at := map[string]int{"delete last": n - 1, "delete first": 0}[step]
						b.log.rows = slices.Delete(b.log.rows, at, at+1)
					}
				case "clear":
					b.log.rows = nil
				case "hold":
					b.set("04 11 FE")
					held = true
				case "release":
					b.set("04 11 00")
					held = false
				}
				synctest.Wait()
				if !held {
					want, waiting = waiting, 0
					clear(logged)
				}
				if did := strings.Count(b.system.took(), "nmi"); did != want {
					rt.Fatalf("%v: after %s filtered %d, want %d", steps, step, did, want)
				}
			}
		})
	})
}

// stillThere counts the records of a log that a process finds when it starts.
func (b *bench) stillThere(logged map[uint16]bool) (n int) {
	for _, r := range b.log.rows {
		if logged[r.ID()] {
			n++
		}
	}
	return n
}

// idsAnew has a log go on counting from its last record, as it does after a
// restart.
func (b *bench) idsAnew() {
	b.log.next = 1
	if n := len(b.log.rows); n > 0 {
		b.log.next = b.log.rows[n-1].ID()%idsInAll + 1
	}
}
