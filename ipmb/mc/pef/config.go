package pef

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/midplane-project/midplane/ipmb/mc"
)

// Sizes of the tables.
const (
	filterCount  = 24
	policyCount  = 32
	stringCount  = 8  // beside string 0, which is volatile
	blockLen     = 16 // of a string, as it is read and written
	stringBlocks = 5  // 64 characters, which FreeIPMI sends, and their zero byte
	stringLen    = blockLen * stringBlocks
)

// Control of PEF (IPMI 2.0 table 30-6, parameter 1).
const (
	controlEnabled           = 0x01
	controlEventMessages     = 0x02
	controlStartupDelay      = 0x04
	controlAlertStartupDelay = 0x08
	controlReserved          = 0xF0
)

// defaultDelay is the seconds of both startup delays that nobody set.
const defaultDelay = 60

// guid is the GUID for traps (parameter 0Ah): used in place of the system's
// own when its first byte says so.
type guid [17]byte

const guidUsed = 0x01

func (g guid) used() bool { return g[0]&guidUsed != 0 }

// alertString is a text and the keys that choose it (parameters 0Ch, 0Dh).
type alertString struct {
	filter uint8
	set    uint8
	text   [stringLen]byte
}

// String is the text up to its zero byte.
func (s *alertString) String() string {
	text, _, _ := bytes.Cut(s.text[:], []byte{0})
	return string(text)
}

const stringRecordLen = 2 + stringLen

func (s *alertString) record() []byte { return append([]byte{s.filter, s.set}, s.text[:]...) }

// config is what the parameters say.
type config struct {
	control    byte
	actions    Action
	delay      byte // seconds that filtering waits after a start of the system
	alertDelay byte // likewise, alerts
	guid       guid
	filters    [filterCount]Filter
	policies   [policyCount]Policy
	strings    [stringCount + 1]alertString // string 0 is not kept
}

// Names of the records. Those of a table end in the entry's number, from 01.
const (
	recordSettings = "pef/settings"
	recordGUID     = "pef/guid"
	recordFilter   = "pef/filter/"
	recordPolicy   = "pef/policy/"
	recordString   = "pef/string/"

	settingsLen = 4
)

func entryName(table string, n int) string { return fmt.Sprintf("%s%02d", table, n) }

func (c *config) settings() []byte {
	return []byte{c.control, byte(c.actions), c.delay, c.alertDelay}
}

// loadConfig reads what was stored over the defaults.
func loadConfig(r mc.Records) (*config, error) {
	c := defaults()
	all := []error{
		load(r, recordSettings, settingsLen, c.takeSettings),
		load(r, recordGUID, len(c.guid), c.takeGUID),
	}
	for i := range c.filters {
		all = append(all, load(r, entryName(recordFilter, i+1), FilterLen, c.filters[i].take))
	}
	for i := range c.policies {
		all = append(all, load(r, entryName(recordPolicy, i+1), PolicyLen, c.policies[i].take))
	}
	for i := 1; i <= stringCount; i++ {
		all = append(all, load(r, entryName(recordString, i), stringRecordLen, c.strings[i].take))
	}
	return c, errors.Join(all...)
}

// load gives a record to take; one that is not there is left alone.
func load(r mc.Records, name string, size int, take func([]byte) error) error {
	v, err := r.Get(name)
	switch {
	case err != nil:
		return err
	case v == nil:
		return nil
	case len(v) != size:
		return fmt.Errorf("record %s has %d bytes, want %d", name, len(v), size)
	}
	if err := take(v); err != nil {
		return fmt.Errorf("record %s: %w", name, err)
	}
	return nil
}

func (c *config) takeSettings(v []byte) error {
	c.control, c.actions, c.delay, c.alertDelay = v[0], Action(v[1]), v[2], v[3]
	return nil
}

func (c *config) takeGUID(v []byte) error {
	c.guid = guid(v)
	return nil
}

func (f *Filter) take(v []byte) (err error) {
	*f, err = ParseFilter(v)
	return err
}

func (p *Policy) take(v []byte) (err error) {
	*p, err = ParsePolicy(v)
	return err
}

func (s *alertString) take(v []byte) error {
	s.filter, s.set, s.text = v[0], v[1], [stringLen]byte(v[2:])
	return nil
}
