package topology

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node"
)

// schema is as much of JSON Schema as ours uses.
type schema struct {
	Ref        string             `json:"$ref"`
	Defs       map[string]*schema `json:"$defs"`
	Properties map[string]*schema `json:"properties"`
	Additional *bool              `json:"additionalProperties"`
	Items      *schema            `json:"items"`
	OneOf      []*schema          `json:"oneOf"`
	Enum       []any              `json:"enum"`
	Default    any                `json:"default"`
	Pattern    string             `json:"pattern"`
	Minimum    *float64           `json:"minimum"`
	Maximum    *float64           `json:"maximum"`
}

func loadSchema(t *testing.T) *schema {
	t.Helper()
	data, err := os.ReadFile("../../shelf.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// def follows a reference.
func (s *schema) def(t *testing.T, root *schema) *schema {
	t.Helper()
	for _, alternative := range s.OneOf {
		if alternative.Ref != "" {
			s = alternative
		}
	}
	if s.Ref == "" {
		return s
	}
	d := root.Defs[s.Ref[len("#/$defs/"):]]
	if d == nil {
		t.Fatalf("no %s", s.Ref)
	}
	return d
}

func TestSchemaHasTheFieldsOfTheTypes(t *testing.T) {
	root := loadSchema(t)
	compare(t, root, root, reflect.TypeFor[Shelf](), "shelf")
}

func compare(t *testing.T, root, s *schema, typ reflect.Type, at string) {
	t.Helper()
	var fields []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		name := f.Tag.Get("yaml")
		if name == "-" {
			continue
		}
		fields = append(fields, name)
		p := s.Properties[name]
		if p == nil {
			t.Errorf("%s: the schema has no %s", at, name)
			continue
		}
		ft := f.Type
		if ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		p = p.def(t, root)
		if ft.Kind() == reflect.Slice && p.Items != nil {
			ft, p = ft.Elem(), p.Items.def(t, root)
		}
		if ft.Kind() == reflect.Struct {
			compare(t, root, p, ft, at+"."+name)
		}
	}
	for name := range s.Properties {
		if !slices.Contains(fields, name) {
			t.Errorf("%s: the types have no %s", at, name)
		}
	}
	if s.Additional == nil || *s.Additional {
		t.Errorf("%s: the schema allows what the parser does not", at)
	}
}

// Of two values of one name a reader takes the last, or none.
func TestSchemaSaysNothingTwice(t *testing.T) {
	f, err := os.Open("../../shelf.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	once(t, json.NewDecoder(f), "")
}

// once reads a value.
func once(t *testing.T, d *json.Decoder, at string) {
	t.Helper()
	next := func() json.Token {
		token, err := d.Token()
		if err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		return token
	}
	switch next() {
	case json.Delim('{'):
		for seen := map[json.Token]bool{}; d.More(); {
			name := next()
			if seen[name] {
				t.Errorf("%s has %v twice", at, name)
			}
			seen[name] = true
			once(t, d, fmt.Sprintf("%s/%v", at, name))
		}
	case json.Delim('['):
		for d.More() {
			once(t, d, at)
		}
	default:
		return
	}
	next()
}

func TestSchemaHasTheSameValues(t *testing.T) {
	root := loadSchema(t)
	slot, qemu := root.Defs["node"], root.Defs["qemu"]
	for _, tt := range []struct {
		name string
		s    *schema
		want []string
		def  string
	}{
		{"interface", slot.Properties["interface"], Interfaces, DefaultInterface},
		{"profile", slot.Properties["profile"], Profiles, DefaultProfile},
		{"watchdog_clock", slot.Properties["watchdog_clock"], Clocks, DefaultWatchdogClock},
		{"sel.overflow", root.Defs["sel"].Properties["overflow"], Overflows, DefaultSELOverflow},
		{"lan.password", root.Defs["lan"].Properties["password"], Passwords, PasswordShared},
		{"timing", root.Properties["timing"], Timings, DefaultTiming},
		{"format", root.Defs["disk"].Properties["format"], Formats, "qcow2"},
		{"on_guest_poweroff", slot.Properties["on_guest_poweroff"], OnGuestPoweroffs, DefaultOnGuestPoweroff},
		{"accel", qemu.Properties["accel"], Accels, DefaultAccel},
	} {
		var got []string
		for _, v := range tt.s.Enum {
			got = append(got, v.(string))
		}
		if !slices.Equal(got, tt.want) || tt.s.Default != tt.def {
			t.Errorf("%s: schema has %v, default %v; want %v, default %s", tt.name, got, tt.s.Default, tt.want, tt.def)
		}
	}
	if got := root.Defs["name"].Pattern; got != nameRule.String() {
		t.Errorf("name: pattern %s, want %s", got, nameRule)
	}
	if got := *slot.Properties["slot"].Maximum; int(got) != ipmb.MaxSlot {
		t.Errorf("slot: maximum %v, want %d", got, ipmb.MaxSlot)
	}
	capacity := root.Defs["sel"].Properties["capacity"]
	if *capacity.Minimum != node.MinSELCapacity || *capacity.Maximum != node.MaxSELCapacity || capacity.Default != float64(DefaultSELCapacity) {
		t.Errorf("sel.capacity: %v to %v, default %v", *capacity.Minimum, *capacity.Maximum, capacity.Default)
	}
	if got := root.Properties["replicas"].Default; got != float64(DefaultReplicas) {
		t.Errorf("replicas: default %v", got)
	}
	if got := qemu.Properties["memory"].Default; got != float64(DefaultMemory) {
		t.Errorf("memory: default %v", got)
	}
}
