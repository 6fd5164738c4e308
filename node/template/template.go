package template

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/midplane-project/midplane/internal/yamlfile"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/node/thermal"
)

// FirstNumber is the first sensor number that is free: the node's own are below.
const FirstNumber = 0x20

// Template is a node's hardware.
type Template struct {
	Environment thermal.Environment
	Sensors     []Sensor   // threshold sensors
	Others      []sdr.Body // discrete sensors, and records that are no sensors, of a dump
	FRUs        []mc.FRU
	Skipped     []string // what a dump has that a node has not
}

// Sensor is a threshold sensor. Its owner is the node's to say.
type Sensor struct {
	SDR      *sdr.Full
	Source   Source
	Imported bool // from a dump, with an entity of that machine
}

//go:embed default.yaml
var builtIn []byte

// BuiltIn is the template of nodes that have no other.
func BuiltIn() *Template {
	t, err := Parse("default.yaml", builtIn, ".")
	if err != nil {
		panic(err) // a test reads it
	}
	return t
}

//go:embed fantray.yaml
var fanTray []byte

// FanTray is the template of fan trays that have no other.
func FanTray() *Template {
	t, err := Parse("fantray.yaml", fanTray, ".")
	if err != nil {
		panic(err) // a test reads it
	}
	return t
}

// Load reads and checks the file at path. All mistakes found are in the error, a
// line each.
func Load(path string) (*Template, error) {
	data, err := yamlfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	return Parse(path, data, filepath.Dir(path))
}

// text is a template as it is written.
type text struct {
	Environment environmentText      `yaml:"environment"`
	Sensors     *[]sensorText        `yaml:"sensors"`
	FRUs        []fruText            `yaml:"frus"`
	Dump        string               `yaml:"sdr_dump"`
	Sources     map[uint8]sourceText `yaml:"sources"`
}

type environmentText struct {
	Inlet *float64 `yaml:"inlet"`
	Fan   *float64 `yaml:"fan"`
}

// Parse reads and checks the text of a file called name, which names files in dir.
func Parse(name string, data []byte, dir string) (*Template, error) {
	var x text
	file, err := yamlfile.Decode(name, data, &x)
	if errors.Is(err, io.EOF) {
		err = &yamlfile.Error{File: name, Message: "the file is empty; leave it out to have the built-in template"}
	}
	if err != nil {
		return nil, err
	}
	r := &reader{dir: dir}
	t := r.template(&x)
	if err := file.Locate(r.found...); err != nil {
		return nil, err
	}
	return t, nil
}

// reader makes a template of its text and notes what is wrong.
type reader struct {
	dir   string
	found []yamlfile.Mistake
}

func (r *reader) add(path, format string, args ...any) {
	r.found = append(r.found, yamlfile.Mistake{Path: path, Message: fmt.Sprintf(format, args...)})
}

// path is where a file that the template names is.
func (r *reader) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.dir, name)
}

func (r *reader) template(x *text) *Template {
	t := &Template{Environment: r.environment(x.Environment), FRUs: r.frus(x.FRUs)}
	switch {
	case x.Sensors != nil:
		t.Sensors = r.sensors(*x.Sensors)
	case x.Dump == "":
		t.Sensors = BuiltIn().Sensors
	}
	sources := make(map[uint8]Source, len(x.Sources))
	for number, s := range x.Sources {
		sources[number] = r.source(fmt.Sprintf("$.sources.0x%02x", number), s)
	}
	if x.Dump == "" {
		if len(sources) > 0 {
			r.add("$.sources", "are for the sensors of an sdr_dump, and there is none")
		}
		return t
	}
	r.dump(t, x.Dump, sources)
	return t
}

// Defaults of the environment.
const (
	defaultInlet = 24
	defaultFan   = 0.5
)

func (r *reader) environment(x environmentText) thermal.Environment {
	e := thermal.Environment{Inlet: defaultInlet, Fan: defaultFan}
	if x.Inlet != nil {
		e.Inlet = *x.Inlet
	}
	if x.Fan != nil {
		e.Fan = *x.Fan
	}
	const coldest, hottest = -40, 100
	if !(e.Inlet >= coldest && e.Inlet <= hottest) {
		r.add("$.environment.inlet", "%g °C is not within %d to %d", e.Inlet, coldest, hottest)
	}
	if !(e.Fan >= 0 && e.Fan <= 1) {
		r.add("$.environment.fan", "%g is not within 0 to 1", e.Fan)
	}
	return e
}
