package mc

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// SensorKey names a sensor at its controller.
type SensorKey struct {
	LUN    ipmb.LUN
	Number uint8
}

func (k SensorKey) String() string { return fmt.Sprintf("%d/%02x", k.LUN, k.Number) }

// SensorConfig says what a controller's sensors are and where their events go.
type SensorConfig struct {
	// SDRs are the sensors' records: *sdr.Full and *sdr.Compact. They say what
	// the sensors can do and how they are set up at first.
	SDRs []sdr.Body
	// Records keep what commands change.
	Records Records
	// Sink takes the events, one at a time and in order. It may feed sensors.
	Sink func(ipmb.LUN, sel.Event)
	// Log is told of events that are lost.
	Log *slog.Logger
}

// Sensors is the sensor device of a controller: sensors that sources feed and
// commands read and set up (IPMI 2.0 §35). Reading takes no lock; what changes
// a sensor holds this sensor's own, also while it is written to disk.
type Sensors struct {
	sensors map[SensorKey]*sensor
	order   []*sensor
	records Records
	out     outlet
}

// sensor is one sensor. Its state is replaced whole, so that readers need no
// lock; mu is held by those who replace it.
type sensor struct {
	key  SensorKey
	sdr  *sdr.Sensor
	full *sdr.Full // nil: made from a compact record

	state  atomic.Pointer[sensorState]
	mu     sync.Mutex
	source sensorSource
	force  forced
}

// sensorSource is what the sensor's source said last, whether or not the
// sensor listened.
type sensorSource struct {
	fed     bool // it has said something
	known   bool // and it was not that it does not know
	reading uint8
	states  uint16
}

// NewSensors makes the sensors of the records and takes their settings of an
// earlier process back. Until its source says something a sensor is unavailable.
func NewSensors(cfg SensorConfig) (*Sensors, error) {
	s := &Sensors{
		sensors: make(map[SensorKey]*sensor), records: cfg.Records,
		out: outlet{sink: cfg.Sink, log: cfg.Log},
	}
	s.out.moved.L = &s.out.mu
	for _, body := range cfg.SDRs {
		var err error
		switch r := body.(type) {
		case *sdr.Full:
			err = s.add(&r.Sensor, r, 1)
		case *sdr.Compact:
			err = s.add(&r.Sensor, nil, max(r.Sharing.Count, 1))
		default:
			err = fmt.Errorf("%s record: no sensor that can be read", body.Type())
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// add makes the sensors of a record, which stands for count numbers from its own on.
func (s *Sensors) add(r *sdr.Sensor, full *sdr.Full, count uint8) error {
	for i := range count {
		n := &sensor{key: SensorKey{r.LUN, r.Number + i}, sdr: r, full: full}
		if s.sensors[n.key] != nil {
			return fmt.Errorf("sensor %s has two records", n.key)
		}
		if n.threshold() && full == nil {
			return fmt.Errorf("sensor %s: a threshold sensor needs a full record", n.key)
		}
		first := sensorState{sensorSettings: n.initial()}
		if err := s.load(n, &first.sensorSettings); err != nil {
			return fmt.Errorf("sensor %s: %w", n.key, err)
		}
		n.state.Store(&first)
		s.sensors[n.key] = n
		s.order = append(s.order, n)
	}
	return nil
}

// threshold reports whether the sensor compares a reading with thresholds;
// the others have states.
func (n *sensor) threshold() bool { return n.sdr.EventType == sel.EventThreshold }

// find gives a sensor, CBh if there is none.
func (s *Sensors) find(k SensorKey) (*sensor, error) {
	if n := s.sensors[k]; n != nil {
		return n, nil
	}
	return nil, ipmb.ErrNotPresent
}

// change runs f on a copy of a sensor's state and lets the copy hold: settings
// are on disk first, and the events of f go to the sink in the order in which
// states held. It gives the place of the last one in the queue.
func (s *Sensors) change(n *sensor, f func(*sensorState) ([]sel.Event, error)) (ticket uint64, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.state.Load()
	next := *now
	events, err := f(&next)
	if err == nil && next.sensorSettings != now.sensorSettings {
		err = s.save(n, &next.sensorSettings)
	}
	if err != nil {
		return 0, err
	}
	if next != *now {
		n.state.Store(&next)
	}
	return s.out.put(n.key.LUN, events), nil
}

// feed is change for a source.
func (s *Sensors) feed(k SensorKey, f func(*sensor, *sensorState) ([]sel.Event, error)) error {
	n, err := s.find(k)
	if err != nil {
		return err
	}
	_, err = s.change(n, func(next *sensorState) ([]sel.Event, error) { return f(n, next) })
	s.out.drain()
	return err
}

// command is change for a request, which is answered when its events are taken.
func (s *Sensors) command(n *sensor, f func(*sensorState) ([]sel.Event, error)) error {
	ticket, err := s.change(n, f)
	s.out.drain()
	s.out.wait(ticket)
	return err
}
