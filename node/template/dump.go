package template

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// maxDump bounds a dump in bytes: a repository has 65 534 records at most, and
// real ones some hundred.
const maxDump = 256 << 10

// importLUN is where sensors are whose number the node has for its own.
const importLUN ipmb.LUN = 1

// readDump reads records that stand one after the other, as ipmitool sdr dump
// writes them.
func readDump(b []byte) (out []sdr.Body, err error) {
	for at := 0; at < len(b); {
		h, err := sdr.ParseHeader(b[at:])
		end := at + sdr.HeaderLen + int(h.Length)
		if err == nil && end > len(b) {
			err = sdr.ErrShort
		}
		var body sdr.Body
		if err == nil {
			_, body, err = sdr.Parse(b[at:end])
		}
		if err != nil {
			return nil, fmt.Errorf("record %d, at byte %d: %w", len(out)+1, at, err)
		}
		out, at = append(out, body), end
	}
	if len(out) == 0 {
		return nil, errors.New("there is no record in it")
	}
	return out, nil
}

// dump adds the sensors of a dump to the template.
func (r *reader) dump(t *Template, name string, sources map[uint8]Source) {
	b, err := readFile(r.path(name), maxDump)
	if err != nil {
		r.add("$.sdr_dump", "%v", err)
		return
	}
	bodies, err := readDump(b)
	if err != nil {
		r.add("$.sdr_dump", "%s: %v", name, err)
		return
	}
	im := importer{to: t, sources: sources, taken: make(map[place]bool), used: make(map[uint8]bool)}
	for _, s := range t.Sensors {
		im.taken[place{s.SDR.LUN, s.SDR.Number}] = true
	}
	for _, body := range bodies {
		if why := im.take(body); why != "" {
			t.Skipped = append(t.Skipped, why)
		}
	}
	for _, number := range slices.Sorted(maps.Keys(sources)) {
		if !im.used[number] {
			r.add("$.sources", "0x%02x is no analog sensor of %s", number, name)
		}
	}
}

type place struct {
	lun    ipmb.LUN
	number uint8
}

// importer takes the records of a dump.
type importer struct {
	to      *Template
	sources map[uint8]Source
	owner   *uint8 // of the dump's first sensor, whose part the node plays
	taken   map[place]bool
	used    map[uint8]bool // sources
}

// take adds a record to the template, or says why not.
func (im *importer) take(body sdr.Body) (skipped string) {
	switch r := body.(type) {
	case *sdr.Full:
		return im.sensor(body, &r.Sensor, 1, r.Name)
	case *sdr.Compact:
		return im.sensor(body, &r.Sensor, max(int(r.Sharing.Count), 1), r.Name)
	case *sdr.EventOnly:
		if why := im.place(&r.Key, max(int(r.Sharing.Count), 1), r.Name); why != "" {
			return why
		}
		r.Name = plain(r.Name)
		im.to.Others = append(im.to.Others, r)
	case *sdr.OEM:
		im.to.Others = append(im.to.Others, r)
	case *sdr.FRULocator, *sdr.MCLocator: // the node has its own
	default:
		return fmt.Sprintf("a record of type 0x%02x", uint8(body.Type()))
	}
	return ""
}

// sensor takes a sensor that can be read.
func (im *importer) sensor(body sdr.Body, s *sdr.Sensor, count int, name string) (skipped string) {
	full, isFull := body.(*sdr.Full)
	threshold := s.EventType == sel.EventThreshold
	if threshold && !isFull {
		return fmt.Sprintf("%q: a threshold sensor with a compact record", name)
	}
	number := s.Number
	if why := im.place(&s.Key, count, name); why != "" {
		return why
	}
	if c, ok := body.(*sdr.Compact); ok {
		c.Name = plain(name)
	} else {
		full.Name = plain(name)
	}
	if !threshold {
		im.to.Others = append(im.to.Others, body)
		return ""
	}
	im.used[number] = true
	source, ok := im.sources[number]
	if !ok {
		source = nominal(full)
	}
	im.to.Sensors = append(im.to.Sensors, Sensor{SDR: full, Source: source, Imported: true})
	return ""
}

// nominal is the source of a sensor that reads as its nominal reading.
func nominal(f *sdr.Full) Source {
	const given = 0x01
	if f.Specified&given == 0 {
		return Source{}
	}
	return Source{Fixed: f.Factors.Value(f.Nominal, f.Units.Format), Is: true}
}

// place finds room for count sensors from the record's number on.
func (im *importer) place(k *sdr.Key, count int, name string) (skipped string) {
	if im.owner == nil {
		owner := k.Owner
		im.owner = &owner
	}
	switch {
	case k.Owner != *im.owner:
		return fmt.Sprintf("%q: of 0x%02x, another controller than 0x%02x", name, k.Owner, *im.owner)
	case int(k.Number)+count > reserved:
		return fmt.Sprintf("%q: no sensor has the number 0xff", name)
	case k.LUN == 0 && k.Number < FirstNumber:
		k.LUN = importLUN
	}
	for i := range count {
		if im.taken[place{k.LUN, k.Number + uint8(i)}] {
			return fmt.Sprintf("%q: number 0x%02x on LUN %d is taken", name, int(k.Number)+i, k.LUN)
		}
	}
	for i := range count {
		im.taken[place{k.LUN, k.Number + uint8(i)}] = true
	}
	return ""
}

// plain makes of a name in any code one that can be written.
func plain(name string) string {
	var out []rune
	for _, c := range name {
		if len(out) == sdr.MaxID {
			break
		}
		if c == 0 || c > 0xFF {
			c = '?'
		}
		out = append(out, c)
	}
	return string(out)
}
