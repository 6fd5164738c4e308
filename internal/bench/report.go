package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// bound is what a measurement must or should reach.
type bound struct {
	// Of says what is compared: midplane's p50, p99 or max, or peer, the ratio
	// of midplane's p50 to the peer's.
	Of string `json:"of"`
	// Limit is the most that it may be; with AtLeast the least.
	Limit   float64 `json:"limit"`
	AtLeast bool    `json:"at_least,omitempty"`
	Met     *bool   `json:"met,omitempty"` // nil: nothing to compare
}

func atMost(of string, limit float64) bound  { return bound{Of: of, Limit: limit} }
func atLeast(of string, limit float64) bound { return bound{Of: of, Limit: limit, AtLeast: true} }

func (b bound) String() string {
	sign := "≤"
	if b.AtLeast {
		sign = "≥"
	}
	unit := ""
	if b.Of == "peer" {
		unit = "×"
	}
	mark := ""
	if b.Met != nil {
		mark = map[bool]string{true: " ok", false: " NO"}[*b.Met]
	}
	return fmt.Sprintf("%s%s%s%s%s", b.Of, sign, number(b.Limit), unit, mark)
}

// measurement is one line of the table. Its JSON form is the file's.
type measurement struct {
	Name   string `json:"name"`
	Unit   string `json:"unit"`
	Guests string `json:"guests"` // fake, real or none
	Pinned bool   `json:"pinned"` // both sides on one core
	Note   string `json:"note,omitempty"`

	Midplane *summary `json:"midplane"`
	Peer     *summary `json:"peer,omitempty"`
	Limit    *summary `json:"limit,omitempty"`
	ToPeer   float64  `json:"ratio_to_peer,omitempty"`
	ToLimit  float64  `json:"ratio_to_limit,omitempty"`

	Required []bound `json:"required,omitempty"`
	Stretch  []bound `json:"stretch,omitempty"`
}

// judge fills in the ratios and which bounds are met.
func (m *measurement) judge() {
	if m.Peer != nil && m.Peer.P50 > 0 {
		m.ToPeer = m.Midplane.P50 / m.Peer.P50
	}
	if m.Limit != nil && m.Limit.P50 > 0 {
		m.ToLimit = m.Midplane.P50 / m.Limit.P50
	}
	for _, list := range [][]bound{m.Required, m.Stretch} {
		for i := range list {
			m.judgeBound(&list[i])
		}
	}
}

func (m *measurement) judgeBound(b *bound) {
	value := map[string]float64{"p50": m.Midplane.P50, "p99": m.Midplane.P99, "peer": m.ToPeer, "max": m.Midplane.Max}[b.Of]
	if b.Of == "peer" && m.Peer == nil {
		return
	}
	met := value <= b.Limit
	if b.AtLeast {
		met = value >= b.Limit
	}
	b.Met = &met
}

// report is all that a run measured.
type report struct {
	Time         time.Time      `json:"time"`
	Go           string         `json:"go"`
	CPUs         int            `json:"cpus"`
	Processor    string         `json:"processor"`
	Load         string         `json:"load_average"` // at the start: who else was at work
	Measurements []*measurement `json:"measurements"`
}

func newReport() report {
	return report{
		Time: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), CPUs: runtime.NumCPU(),
		Processor: processor(), Load: loadAverage(),
	}
}

// add takes a measurement and shows it at once.
func (r *report) add(m *measurement) {
	m.judge()
	r.Measurements = append(r.Measurements, m)
	fmt.Fprintf(os.Stderr, "bench:   %s: %s %s\n", m.title(), told(m.Midplane), m.Unit)
}

func (m *measurement) title() string {
	var notes []string
	if strings.Contains(m.Guests, "real") {
		notes = append(notes, m.Guests+" guests")
	}
	if m.Pinned {
		notes = append(notes, "pinned")
	}
	if len(notes) == 0 {
		return m.Name
	}
	return m.Name + " (" + strings.Join(notes, ", ") + ")"
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s, %d CPUs, %s, load average at the start %s\n\n", r.Processor, r.CPUs, r.Go, r.Load)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MEASUREMENT\tUNIT\tMIDPLANE p50/p99\tPEER\tLIMIT\t×PEER\t×LIMIT\tTRIALS\tREQUIRED\tSTRETCH")
	for _, m := range r.Measurements {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", m.title(), m.Unit, told(m.Midplane), told(m.Peer), told(m.Limit),
			ratio(m.ToPeer), ratio(m.ToLimit), m.Midplane.Trials, toldBounds(m.Required), toldBounds(m.Stretch))
	}
	_ = t.Flush()
	for _, m := range r.Measurements {
		if m.Note != "" {
			fmt.Fprintf(w, "  %s: %s\n", m.title(), m.Note)
		}
	}
}

func told(s *summary) string {
	switch {
	case s == nil:
		return "–"
	case s.P99 == 0:
		return number(s.P50)
	}
	return number(s.P50) + " / " + number(s.P99)
}

func toldBounds(list []bound) string {
	var all []string
	for _, b := range list {
		all = append(all, b.String())
	}
	return strings.Join(all, ", ")
}

func ratio(r float64) string {
	if r == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", r)
}

// number tells three digits that matter.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a == 0 || a >= 100 || a == math.Trunc(a):
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func (r *report) write(path string) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}

func processor() string {
	raw, _ := os.ReadFile("/proc/cpuinfo") // only told, so its absence is no error
	for line := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func loadAverage() string {
	raw, _ := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(raw))
	return strings.Join(fields[:min(3, len(fields))], " ")
}
