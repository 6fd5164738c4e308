package mc

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// fruPatience is how long a request waits for another that is being stored;
// clients give up after a second or more.
const fruPatience = time.Second

// blank is what a part of an EEPROM reads that nobody has written.
const blank = 0xFF

// eeprom is the memory of one FRU. Its image is replaced whole, so that reads
// wait for nobody; whoever changes it has the turn until the change is stored.
type eeprom struct {
	FRU
	records Records
	turn    chan struct{} // one slot
	image   atomic.Pointer[[]byte]
}

// openEEPROM gives the memory as it was written last, else with the content
// that it is made with. A written one never shrinks.
func openEEPROM(f FRU, records Records) (*eeprom, error) {
	e := &eeprom{FRU: f, records: records, turn: make(chan struct{}, 1)}
	return e, e.load()
}

// load takes the image that the records hold.
func (e *eeprom) load() error {
	image, err := e.records.Get(e.record())
	if err != nil {
		return err
	}
	if image == nil {
		image = bytes.Clone(e.Content)
	}
	for len(image) < e.Size {
		image = append(image, blank)
	}
	e.image.Store(&image)
	return nil
}

func (e *eeprom) record() string { return fmt.Sprintf("fru/%d", e.ID) }

// bytes is the image, which does not change.
func (e *eeprom) bytes() []byte { return *e.image.Load() }

// take takes the turn: release gives it back.
func (e *eeprom) take(ctx context.Context) error {
	patience := time.NewTimer(fruPatience)
	defer patience.Stop()
	select {
	case e.turn <- struct{}{}:
		return nil
	case <-patience.C:
	case <-ctx.Done():
	}
	return ipmb.ErrFRUBusy
}

func (e *eeprom) release() { <-e.turn }

// put stores data from an offset on, beginning anew behind the end. The caller
// has the turn.
func (e *eeprom) put(at int, data []byte) error {
	image := bytes.Clone(e.bytes())
	for i, x := range data {
		image[(at+i)%len(image)] = x
	}
	if err := e.records.Put(e.record(), image); err != nil {
		return err
	}
	e.image.Store(&image)
	return nil
}
