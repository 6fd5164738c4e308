package node

import (
	"context"
	"sync"
	"sync/atomic"
)

// logFill is how full the log is: how many of its sensor's states it has.
type logFill struct {
	states atomic.Int32
	turn   sync.Mutex // held by whoever tells the sensor
}

// fillStates are the states of the log's sensor as the log fills: each comes in
// addition to the one before.
var fillStates = []uint8{selAlmostFull, selFull}

// fillOf counts the states of a log with n records of at most limit.
func fillOf(n, limit int) int32 {
	switch {
	case n >= limit:
		return 2
	case 100*n >= selAlmostFullPercent*limit:
		return 1
	}
	return 0
}

// watchLog makes the log's sensor follow the log, from what it is now on, and
// the log ask the sensor whether it makes events.
func (c *Controller) watchLog(s *sensors) error {
	info, err := c.sel.SELInfo(c.ctx)
	if err != nil {
		return err
	}
	s.fill.states.Store(fillOf(int(info.Entries), c.sel.limit))
	s.tellLog(c.ctx)
	c.sel.filled = c.logFilled
	c.sel.tells = func(offset byte) bool { return s.EventEnabled(sensorEventLog, offset) }
	return nil
}

// logFilled says how many records the log has. It is called while the log is
// locked, and feeding a sensor may have to wait for it: another goroutine does.
func (c *Controller) logFilled(records int) {
	fill := fillOf(records, c.sel.limit)
	if c.sensors.fill.states.Swap(fill) != fill {
		c.spawn(c.sensors.tellLog)
	}
}

// tellLog tells the sensor the states that the log has by now. The log has
// reported their events, among its records.
func (s *sensors) tellLog(context.Context) {
	s.fill.turn.Lock()
	defer s.fill.turn.Unlock()
	s.note(s.Begin(sensorEventLog, fillStates[:s.fill.states.Load()]...))
}
