package node

import (
	"context"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/template"
	"github.com/midplane-project/midplane/node/thermal"
)

// climateEvery is how often the node's analog sensors are read.
const climateEvery = time.Second

// climate is what the node's analog sensors measure: a model of heat and power
// that the VM's processor time drives. One goroutine has it.
type climate struct {
	load    func(time.Time) thermal.Load    // what the VM does
	air     func() (level float64, ok bool) // of fans that are not the template's
	still   float64                         // level of the template's
	sources map[mc.SensorKey]template.Source
	keys    []mc.SensorKey
	now     thermal.Moment
	at      time.Time // when that is; zero before the first round

	records mc.Records
	kept    warmth // on disk
	due     time.Time
	away    bool // now is of an earlier process
}

func newClimate(t *template.Template, load func(time.Time) thermal.Load, air func() (float64, bool)) *climate {
	return &climate{
		load: load, air: air, still: t.Environment.Fan, sources: make(map[mc.SensorKey]template.Source),
		now: thermal.Moment{State: thermal.Cold(t.Environment), Environment: t.Environment},
	}
}

// add gives a sensor its source.
func (c *climate) add(k mc.SensorKey, s template.Source) {
	c.sources[k] = s
	c.keys = append(c.keys, k)
}

// Value implements mc.Gauge.
func (c *climate) Value(k mc.SensorKey) (value float64, ok bool) { return c.sources[k].Value(c.now) }

// Round implements mc.Rounds.
func (c *climate) Round(now time.Time) {
	if c.at.IsZero() {
		c.at = now
	}
	c.now.Load = c.load(now)
	c.now.Fan = c.still
	if level, ok := c.air(); ok {
		c.now.Fan = level
	}
	passed := max(0, now.Sub(c.at)) // a clock may have been set back
	c.now.State = c.now.Step(passed, c.meanwhile(c.now.Load), c.now.Environment)
	c.at = now
}

// equip adds the sensors and records of the template.
func (s *sensors) equip(id Identity, t *template.Template, load func(time.Time) thermal.Load, air func() (float64, bool)) {
	s.climate = newClimate(t, load, air)
	for _, x := range t.Sensors {
		r := *x.SDR
		r.Owner, r.Channel = uint8(id.Addr), ipmb.ChannelIPMB
		if !x.Imported {
			r.Entity = id.situated(r.Entity)
		}
		s.sdrs = append(s.sdrs, &r)
		s.climate.add(mc.SensorKey{LUN: r.LUN, Number: r.Number}, x.Source)
	}
	for _, body := range t.Others {
		switch r := body.(type) {
		case *sdr.Full:
			r.Owner, r.Channel = uint8(id.Addr), ipmb.ChannelIPMB
		case *sdr.Compact:
			r.Owner, r.Channel = uint8(id.Addr), ipmb.ChannelIPMB
		case *sdr.EventOnly:
			r.Owner, r.Channel = uint8(id.Addr), ipmb.ChannelIPMB
		}
		s.sdrs = append(s.sdrs, body)
	}
}

// situated is where an entity of a template is at this node: on a board of a
// shelf, relative to its controller.
func (id Identity) situated(e sdr.Entity) sdr.Entity {
	if e == (sdr.Entity{}) {
		return id.entity()
	}
	if id.Profile != ProfileServer {
		e.Instance += sdr.DeviceRelative - 1
	}
	return e
}

// meteredVM is the load of a node's VM: how much of its processors' time it
// takes, where the node can know that.
type meteredVM struct {
	on    func() bool
	share func(now time.Time) (share float64, ok bool)
}

func (m *meteredVM) load(now time.Time) thermal.Load {
	if !m.on() {
		return thermal.Load{}
	}
	l := thermal.Load{On: true}
	if share, ok := m.share(now); ok {
		l.CPU = share
	}
	return l
}

// ofProcess meters a process, 0 for none. One that has just ended has no load:
// what is read next says so.
func ofProcess(process func() (pid, cpus int)) func(time.Time) (float64, bool) {
	var meter thermal.Meter
	return func(now time.Time) (float64, bool) {
		pid, cpus := process()
		if pid == 0 {
			return 0, false
		}
		share, ok, err := meter.Read(pid, cpus, now)
		return share, ok && err == nil
	}
}

// ofDriver meters a VM whose driver knows what it has used.
func ofDriver(d power.Metered) func(time.Time) (float64, bool) {
	var meter thermal.Meter
	return func(now time.Time) (float64, bool) {
		used, cpus, err := d.CPUTime(context.Background())
		if err != nil {
			return 0, false
		}
		return meter.Note(0, used, cpus, now)
	}
}

// meteredVM gives the load of the node's VM. A thread of a process that
// somebody else started does for its process: Linux tells of all threads there
// (proc(5), /proc/TID/stat).
func (n *Node) meteredVM() *meteredVM {
	m := &meteredVM{on: n.host.On, share: func(time.Time) (float64, bool) { return 0, false }}
	switch d := n.driver.(type) {
	case power.Threaded:
		m.share = ofProcess(d.Thread)
	case power.Metered:
		m.share = ofDriver(d)
	}
	if n.machine != nil {
		m.share = ofProcess(func() (pid, cpus int) { return n.machine.PID(), n.cfg.VM.SMP })
	}
	return m
}
