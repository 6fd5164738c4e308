package main

import (
	"fmt"
	"slices"
	"time"
)

// tally counts one loop; it is printed as the final JSON line. What the driver
// resent is not known to it.
type tally struct {
	Target  string           `json:"target"`
	Mix     string           `json:"mix"`
	Tag     string           `json:"tag"` // of the SEL records written
	Sent    int64            `json:"sent"`
	OK      int64            `json:"ok"`
	Failed  int64            `json:"failed"`
	Lost    int64            `json:"lost"`   // never answered
	Writes  int64            `json:"writes"` // serials 1 to Writes were sent
	Codes   map[string]int64 `json:"codes,omitempty"`
	Unsure  []uint32         `json:"unsure,omitempty"` // serials that may or may not be in the log
	Seconds float64          `json:"seconds"`
	Rate    float64          `json:"rate"` // answers per second while sending
	MaxMS   float64          `json:"max_ms"`
}

// maxUnsure bounds the list; the counters stay exact.
const maxUnsure = 100

// Completion codes after which a request may have been carried out all the
// same: timed out, and unspecified. Others are refusals.
var unsureCodes = []byte{0xc3, 0xff}

func newTally(opts loopOptions) *tally {
	target := fmt.Sprintf("0x%02x", opts.target)
	if opts.local {
		target = "local"
	}
	return &tally{Target: target, Mix: opts.mix, Tag: fmt.Sprintf("0x%08x", opts.tag), Codes: map[string]int64{}}
}

func (t *tally) sent(serial uint32) {
	t.Sent++
	if serial > 0 {
		t.Writes++
	}
}

func (t *tally) answered(m message, serial uint32, after time.Duration) {
	t.MaxMS = max(t.MaxMS, float64(after.Microseconds())/1000)
	switch {
	case len(m.data) == 0:
		t.fail("none")
		t.unsure(serial)
	case m.data[0] == 0:
		t.OK++
	default:
		t.fail(fmt.Sprintf("0x%02x", m.data[0]))
		if slices.Contains(unsureCodes, m.data[0]) {
			t.unsure(serial)
		}
	}
}

func (t *tally) fail(code string) {
	t.Failed++
	t.Codes[code]++
}

func (t *tally) unsure(serial uint32) {
	if serial > 0 && len(t.Unsure) < maxUnsure {
		t.Unsure = append(t.Unsure, serial)
	}
}

// stop notes how long sending took.
func (t *tally) stop(took time.Duration) {
	t.Seconds = took.Seconds()
	t.Rate = float64(t.OK+t.Failed) / max(t.Seconds, 0.001)
}

func (t *tally) String() string {
	return fmt.Sprintf("sent %d ok %d failed %d longest %.1f ms", t.Sent, t.OK, t.Failed, t.MaxMS)
}
