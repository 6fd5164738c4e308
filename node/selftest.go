package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// selfTest checks what the controller serves. The records of log, repository,
// FRU devices and the rest are read from the disk, each against its checksum.
type selfTest struct {
	db  *kv.DB
	sel *localSEL
	log *slog.Logger

	// thorough tests write to the disk too. Manufacturing Test On asks for it.
	thorough atomic.Bool
}

// run gives the result (mc.Identity.Commands).
func (t *selfTest) run(context.Context) mc.SelfTest {
	var detail byte
	for _, check := range []func() (byte, error){t.checkSEL, t.checkSDR, t.checkRecords} {
		bits, err := check()
		if err != nil {
			t.log.Error("self test", "err", err)
		}
		detail |= bits
	}
	if err := t.write(); err != nil {
		t.log.Error("self test", "err", err)
		return mc.SelfTest{Result: mc.SelfTestFatal}
	}
	if detail != 0 {
		return mc.SelfTest{Result: mc.SelfTestFailed, Detail: detail}
	}
	return mc.SelfTest{Result: mc.SelfTestPassed}
}

func (t *selfTest) checkSEL() (byte, error) { return bitsOf(mc.SelfTestSEL, t.sel.verify()) }

func (t *selfTest) checkSDR() (byte, error) {
	_, err := store{t.db}.get(keyRecord)
	return bitsOf(mc.SelfTestSDR, err)
}

func bitsOf(bits byte, err error) (byte, error) {
	if err == nil {
		bits = 0
	}
	return bits, err
}

// checkRecords says by a record's name which part has lost it.
func (t *selfTest) checkRecords() (bits byte, err error) {
	names, err := records{t.db}.corrupt()
	for _, name := range names {
		part, _, _ := strings.Cut(name, "/")
		switch part {
		case "sel":
			bits |= mc.SelfTestSEL
		case "sdr":
			bits |= mc.SelfTestSDR
		case "fru":
			bits |= mc.SelfTestFRU
		default:
			bits |= mc.SelfTestInternal
		}
	}
	switch {
	case err != nil:
		return bits | mc.SelfTestInternal, err
	case names != nil:
		return bits, fmt.Errorf("corrupt records: %s", strings.Join(names, ", "))
	}
	return 0, nil
}

// recordTest is what a thorough test writes.
const recordTest = "test"

// write puts a record on the disk, reads it back and removes it.
func (t *selfTest) write() error {
	if !t.thorough.Load() {
		return nil
	}
	r, want := records{t.db}, fmt.Append(nil, time.Now())
	if err := r.Put(recordTest, want); err != nil {
		return fmt.Errorf("write a test record: %w", err)
	}
	got, err := r.Get(recordTest)
	if err == nil && !slices.Equal(got, want) {
		err = errors.New("another value came back")
	}
	if err = errors.Join(err, r.Delete(recordTest)); err != nil {
		return fmt.Errorf("read a test record: %w", err)
	}
	return nil
}
