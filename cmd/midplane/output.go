package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/goccy/go-yaml"

	"github.com/midplane-project/midplane/internal/problem"
)

// Formats of --output.
const (
	formatTable = "table"
	formatJSON  = "json"
	formatYAML  = "yaml"
)

// table is what people see of a result.
type table struct {
	header []string // nil: none
	rows   [][]string
}

// row adds a line; every cell is printed with %v.
func (t *table) row(cells ...any) {
	line := make([]string, len(cells))
	for i, c := range cells {
		line[i] = fmt.Sprint(c)
		if line[i] == "" {
			line[i] = "-"
		}
	}
	t.rows = append(t.rows, line)
}

func (t *table) write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if t.header != nil {
		fmt.Fprintln(tw, strings.Join(t.header, "\t"))
	}
	for _, r := range t.rows {
		fmt.Fprintln(tw, strings.Join(r, "\t"))
	}
	return tw.Flush()
}

// print writes a result in the chosen format: value for programs (its JSON
// field names count for YAML too), or the table that people makes.
func (a *app) print(value any, people func(*table)) error {
	switch a.format {
	case formatTable:
		var t table
		people(&t)
		return t.write(a.out)
	case formatJSON:
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		return e.Encode(value)
	case formatYAML:
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		text, err = yaml.JSONToYAML(text)
		if err != nil {
			return err
		}
		_, err = a.out.Write(text)
		return err
	}
	return problem.Usagef("--output %q: want %s, %s or %s", a.format, formatTable, formatJSON, formatYAML)
}
