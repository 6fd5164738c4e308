package main

import (
	"encoding/json"
	"fmt"

	"github.com/goccy/go-yaml"

	"github.com/midplane-project/midplane/internal/problem"
)

// emit prints one of many results as it comes: a line for people, a line of
// JSON, or a YAML document.
func (a *app) emit(value any, line string) error {
	switch a.format {
	case formatTable:
		_, err := fmt.Fprintln(a.out, line)
		return err
	case formatJSON:
		return json.NewEncoder(a.out).Encode(value)
	case formatYAML:
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if text, err = yaml.JSONToYAML(text); err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.out, "---\n%s", text)
		return err
	}
	return problem.Usagef("--output %q: want %s, %s or %s", a.format, formatTable, formatJSON, formatYAML)
}
