package node

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/node/power"
)

// Each policy with each state that the VM was in when its host, or only its
// node, went away.
func TestRestorePolicy(t *testing.T) {
	const (
		on, off, crashed = "on", "off", "crashed"
		host, node       = "host", "node"
	)
	for _, c := range []struct {
		policy, was, restarts string
		want                  power.State
		cause, event          string // afterwards
	}{
		{"00", on, host, power.Off, "00 00 00", "01"},
		{"00", off, host, power.Off, "00 00 00", "00"},
		{"00", crashed, host, power.Off, "00 00 00", "01"},
		{"01", on, host, power.Running, "00 07 00", "01"},
		{"01", off, host, power.Off, "00 00 00", "00"},
		{"01", crashed, host, power.Running, "00 07 00", "01"},
		{"02", on, host, power.Running, "00 06 00", "01"},
		{"02", off, host, power.Running, "00 06 00", "00"},
		{"02", crashed, host, power.Running, "00 06 00", "01"},

		{"00", on, node, power.Running, "00 00 00", "00"},
		{"00", off, node, power.Off, "00 00 00", "00"},
		{"00", crashed, node, power.Running, "00 00 00", "00"}, // started again, as ever
		{"01", on, node, power.Running, "00 00 00", "00"},
		{"01", off, node, power.Off, "00 00 00", "00"},
		{"02", on, node, power.Running, "00 00 00", "00"},
		{"02", off, node, power.Off, "00 00 00", "00"},
	} {
		t.Run(fmt.Sprintf("policy %s, %s, restart of the %s", c.policy, c.was, c.restarts), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				records := &mc.MemoryRecords{}
				first := newChassisRig(t, records, power.Off, true)
				first.life.hostBoot = "one"
				end := first.live(t)
				first.want(t, power.Running) // a new node starts its VM under any policy
				first.answers(t, "00 06 "+c.policy, "00 07")
				switch c.was {
				case off:
					first.vm.GuestPoweroff()
				case crashed:
					first.vm.Crash(power.Exit{})
				}
				synctest.Wait()
				end()

				next := newChassisRig(t, records, power.Off, first.wants())
				next.life.hostBoot = "two"
				if c.restarts == node {
					next.life.hostBoot = "one"
					next.vm.SetState(first.vm.State())
				}
				end = next.live(t)
				time.Sleep(time.Hour)
				next.want(t, c.want)
				next.answers(t, askCause, c.cause)
				if got := next.ask(t, askStatus)[6:8]; got != c.event {
					t.Errorf("last power event %s, want %s", got, c.event)
				}
				end()

				// The decision stands over a restart of the node alone.
				last := newChassisRig(t, records, next.vm.State(), next.wants())
				last.life.hostBoot = next.life.hostBoot
				defer last.live(t)()
				time.Sleep(time.Hour)
				last.want(t, c.want)
				if len(last.stored) > 0 {
					t.Errorf("decided again: %v", last.stored)
				}
			})
		})
	}
}

// A VM that is there was not restarted, whatever the kernel calls itself: a
// container can see another one.
func TestRestoreOfALivingVM(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := &mc.MemoryRecords{}
		for i, s := range []power.State{power.Off, power.Running} {
			c := newChassisRig(t, records, s, true)
			c.life.hostBoot = fmt.Sprint(i)
			end := c.live(t)
			c.answers(t, "00 06 00", "00 07") // always off
			c.want(t, power.Running)
			end()
		}
	})
}

// Without a way to know, nothing is decided.
func TestRestoreUnknownHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChassisRig(t, &mc.MemoryRecords{}, power.Off, true)
		c.answers(t, "00 06 00", "00 07")
		defer c.live(t)()
		c.want(t, power.Running)
		if c.life.get().Host != "" || len(c.stored) > 0 {
			t.Errorf("host %q, decided %v", c.life.get().Host, c.stored)
		}
	})
}

// hoursOf asks for the power-on hours.
func hoursOf(t *testing.T, c *chassisRig) string {
	t.Helper()
	return c.ask(t, "00 0f")
}

// The hours are those of the VM: they go on while only the node is away, and
// stand still while the VM is off.
func TestPowerOnHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := &mc.MemoryRecords{}
		expect := func(c *chassisRig, want string) {
			t.Helper()
			if got := hoursOf(t, c); got != "00 3c "+want+" 00 00 00" {
				t.Errorf("hours %s, want %s", got, want)
			}
		}
		c := newChassisRig(t, records, power.Off, true)
		end := c.live(t)
		time.Sleep(time.Hour - time.Millisecond)
		expect(c, "00")
		time.Sleep(time.Millisecond)
		expect(c, "01")
		end()
		time.Sleep(3 * time.Hour) // the VM runs

		next := newChassisRig(t, records, power.Running, true)
		end = next.live(t)
		expect(next, "04")
		next.answers(t, doOff, "00")
		time.Sleep(10 * time.Hour)
		expect(next, "04")
		next.answers(t, doOn, "00")
		time.Sleep(90 * time.Minute)
		expect(next, "05")
		end()
		time.Sleep(7 * time.Hour) // it ends with its host, soon or late

		last := newChassisRig(t, records, power.Off, false)
		defer last.live(t)()
		time.Sleep(time.Hour)
		expect(last, "05")
		if err := records.Put(recordHours, []byte("{")); err != nil {
			t.Fatal(err)
		}
		if _, err := openLife(records, c.log); err == nil {
			t.Error("half a record was read")
		}
	})
}

// At most a minute is lost with the node and its VM, and never an hour that was
// told.
func TestPowerOnHoursAfterKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, asked := range []bool{false, true} {
			records := &mc.MemoryRecords{}
			c := newChassisRig(t, records, power.Off, true)
			end := c.live(t)
			time.Sleep(2*time.Hour + time.Millisecond)
			if asked {
				hoursOf(t, c)
			}
			snapshot, err := records.Get(recordHours)
			if err != nil {
				t.Fatal(err)
			}
			end()
			lost := &mc.MemoryRecords{}
			if err := lost.Put(recordHours, snapshot); err != nil {
				t.Fatal(err)
			}
			next := newChassisRig(t, lost, power.Off, false)
			end = next.live(t)
			if got := next.life.hours.kept.Total; got < 2*time.Hour-hoursEvery || asked && got < 2*time.Hour {
				t.Errorf("asked %v: %v are left", asked, got)
			}
			end()
		}
	})
}

// A VM of somebody else's counts while it is connected.
func TestPowerOnHoursOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChassisRig(t, &mc.MemoryRecords{}, power.Off, true)
		c.machine = nil
		c.door.absent = true
		defer c.live(t)()
		time.Sleep(2 * time.Hour)
		c.door.mu.Lock()
		c.door.absent = false
		c.door.mu.Unlock()
		time.Sleep(2*time.Hour + hoursEvery)
		if got := hoursOf(t, c); got != "00 3c 02 00 00 00" {
			t.Errorf("hours %s", got)
		}
	})
}

// A clock that is set back takes nothing away.
func TestCountedClock(t *testing.T) {
	now := time.Unix(1e9, 0)
	got := counted{Total: time.Hour, Since: now, On: true}.at(now.Add(-time.Hour))
	if got.Total != time.Hour || !got.Since.Before(now) {
		t.Errorf("%+v", got)
	}
	if all := []uint32{(counted{Total: time.Hour - 1}).hours(), (counted{Total: time.Hour}).hours()}; !slices.Equal(all, []uint32{0, 1}) {
		t.Errorf("hours %v", all)
	}
}
