package template

import (
	"fmt"
	"os"
	"time"

	"github.com/midplane-project/midplane/ipmb/fru"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
)

// fruText is a FRU device as it is written.
type fruText struct {
	ID      *uint8       `yaml:"id"`
	Name    string       `yaml:"name"`
	Entity  string       `yaml:"entity"`
	File    string       `yaml:"file"`
	Chassis *chassisText `yaml:"chassis"`
	Board   *boardText   `yaml:"board"`
	Product *productText `yaml:"product"`
}

type chassisText struct {
	Type   uint8    `yaml:"type"`
	Part   string   `yaml:"part"`
	Serial string   `yaml:"serial"`
	Custom []string `yaml:"custom"`
}

type boardText struct {
	Made         string   `yaml:"made"`
	Manufacturer string   `yaml:"manufacturer"`
	Product      string   `yaml:"product"`
	Serial       string   `yaml:"serial"`
	Part         string   `yaml:"part"`
	File         string   `yaml:"file"`
	Custom       []string `yaml:"custom"`
}

type productText struct {
	Manufacturer string   `yaml:"manufacturer"`
	Name         string   `yaml:"name"`
	Part         string   `yaml:"part"`
	Version      string   `yaml:"version"`
	Serial       string   `yaml:"serial"`
	Asset        string   `yaml:"asset"`
	File         string   `yaml:"file"`
	Custom       []string `yaml:"custom"`
}

// noFRU is no FRU id (IPMI 2.0 §34).
const noFRU = 0xFF

func (r *reader) frus(texts []fruText) (out []mc.FRU) {
	seen := make(map[uint8]bool)
	for i, x := range texts {
		at := func(field string) string { return fmt.Sprintf("$.frus[%d].%s", i, field) }
		switch {
		case x.ID == nil:
			r.add(at("id"), "is missing")
			continue
		case *x.ID == noFRU:
			r.add(at("id"), "255 is reserved")
		case seen[*x.ID]:
			r.add(at("id"), "FRU %d stands twice", *x.ID)
		}
		seen[*x.ID] = true
		f := mc.FRU{ID: *x.ID, Name: x.Name, Entity: r.entity(at("entity"), x.Entity), Content: r.content(x, at)}
		if _, err := sdr.Marshal(1, f.Locator(0)); err != nil {
			r.add(at("name"), "%v", err)
		}
		if len(f.Content) > mc.MaxFRU {
			r.add(at("id"), "%d bytes are more than a FRU device holds, %d", len(f.Content), mc.MaxFRU)
		}
		out = append(out, f)
	}
	return out
}

// content is what the device holds: the file, or the areas that are written.
func (r *reader) content(x fruText, at func(string) string) []byte {
	areas := x.Chassis != nil || x.Board != nil || x.Product != nil
	switch {
	case x.File == "" && !areas:
		r.add(at("id"), "FRU %d is empty: want a file, or chassis, board or product", *x.ID)
		return nil
	case x.File != "" && areas:
		r.add(at("file"), "stands beside areas: want one of them")
		return nil
	case x.File != "":
		return r.image(x.File, at("file"))
	}
	b, err := r.inventory(x, at).Marshal()
	if err != nil {
		r.add(at("id"), "%v", err)
	}
	return b
}

// image reads a device's content from a file.
func (r *reader) image(name, at string) []byte {
	b, err := readFile(r.path(name), mc.MaxFRU)
	if err == nil {
		_, err = fru.Unmarshal(b)
	}
	if err != nil {
		r.add(at, "%v", err)
	}
	return b
}

// readFile reads a file that must not be larger than limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file", path)
	case info.Size() > limit:
		return nil, fmt.Errorf("%s has %d bytes, more than %d", path, info.Size(), limit)
	}
	return os.ReadFile(path)
}

func (r *reader) inventory(x fruText, at func(string) string) *fru.Inventory {
	inv := new(fru.Inventory)
	if c := x.Chassis; c != nil {
		f := r.fields(at("chassis"))
		inv.Chassis = &fru.Chassis{
			Type: c.Type, Part: f("part", c.Part), Serial: f("serial", c.Serial), Custom: custom(f, c.Custom),
		}
		if c.Type == 0 {
			inv.Chassis.Type = fru.ChassisOther
		}
	}
	if b := x.Board; b != nil {
		f := r.fields(at("board"))
		inv.Board = &fru.Board{
			Language: fru.English, Made: r.date(at("board.made"), b.Made), Manufacturer: f("manufacturer", b.Manufacturer),
			Product: f("product", b.Product), Serial: f("serial", b.Serial), Part: f("part", b.Part), File: f("file", b.File),
			Custom: custom(f, b.Custom),
		}
	}
	if p := x.Product; p != nil {
		f := r.fields(at("product"))
		inv.Product = &fru.Product{
			Language: fru.English, Manufacturer: f("manufacturer", p.Manufacturer), Name: f("name", p.Name), Part: f("part", p.Part),
			Version: f("version", p.Version), Serial: f("serial", p.Serial), Asset: f("asset", p.Asset), File: f("file", p.File),
			Custom: custom(f, p.Custom),
		}
	}
	return inv
}

// fields makes fields of the texts of an area.
func (r *reader) fields(area string) func(name, s string) fru.Field {
	return func(name, s string) fru.Field {
		n := 0
		for _, c := range s {
			n++
			if c == 0 || c > 0xFF {
				r.add(area+"."+name, "%q is not Latin-1", s)
				break
			}
		}
		if n > fru.MaxField {
			r.add(area+"."+name, "%d characters are more than a field holds, %d", n, fru.MaxField)
		}
		return fru.NewText(s)
	}
}

func custom(field func(name, s string) fru.Field, texts []string) (out []fru.Field) {
	for i, s := range texts {
		out = append(out, field(fmt.Sprintf("custom[%d]", i), s))
	}
	return out
}

// date reads a day, or a time of RFC 3339.
func (r *reader) date(at, s string) time.Time {
	if s == "" {
		return time.Time{}
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	r.add(at, "%q is neither a day such as 2024-05-31 nor a time such as 2024-05-31T12:30:00Z", s)
	return time.Time{}
}
