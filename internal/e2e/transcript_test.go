//go:build e2e

package e2e_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// transcript is a file of testdata/transcripts. A line that begins with $ is a
// command in the guest, one with % a verb of midplane on the host; both know
// $NODE, $ADDR (its address on the IPMB) and $IF (KCS or BT). Lines with > are
// lines of the output, both streams together, in this order; others may stand
// between them. Space counts once, and … stands for anything. [N] is an exit
// code that is not 0. All else is for the reader.
type transcript []step

// step is a command and what must come of it.
type step struct {
	cmd  string
	host bool
	line int // in the file
	want []string
	code int
}

func parseTranscript(text string) (transcript, error) {
	var all transcript
	for i, line := range strings.Split(text, "\n") {
		switch sign, rest, _ := strings.Cut(line, " "); sign {
		case "$", "%":
			all = append(all, step{cmd: rest, host: sign == "%", line: i + 1})
		case ">":
			if len(all) == 0 {
				return nil, fmt.Errorf("line %d: output of no command", i+1)
			}
			last := &all[len(all)-1]
			if code, ok := exitCode(rest); ok {
				last.code = code
				continue
			}
			last.want = append(last.want, rest)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no commands")
	}
	return all, nil
}

// exitCode reads [N].
func exitCode(text string) (int, bool) {
	if !strings.HasPrefix(text, "[") || !strings.HasSuffix(text, "]") {
		return 0, false
	}
	n, err := strconv.Atoi(text[1 : len(text)-1])
	return n, err == nil
}

// squeeze leaves one space between words and none around them.
func squeeze(line string) string { return strings.Join(strings.Fields(line), " ") }

// matches compares a line of output with one of a transcript.
func matches(want, line string) bool {
	parts := strings.Split(squeeze(want), "…")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(squeeze(line))
}

// missing is the first wanted line that the output does not have after those
// before it, or "".
func (st step) missing(out string) string {
	lines := strings.FieldsFunc(out, func(r rune) bool { return r == '\n' || r == '\r' })
	for _, want := range st.want {
		i := slices.IndexFunc(lines, func(l string) bool { return matches(want, l) })
		if i < 0 {
			return want
		}
		lines = lines[i+1:]
	}
	return ""
}

// check fails the test when something else came of a command.
func (st step) check(t *testing.T, name string, code int, out string) {
	t.Helper()
	switch missing := st.missing(out); {
	case code != st.code:
		t.Errorf("%s.txt:%d: %s: exit code %d, want %d\n%s", name, st.line, st.cmd, code, st.code, out)
	case missing != "":
		t.Errorf("%s.txt:%d: %s: no line %q in\n%s", name, st.line, st.cmd, missing, out)
	}
}

// TestTranscripts keeps the comparison from passing whatever is printed.
func TestTranscripts(t *testing.T) {
	tr, err := parseTranscript("Text.\n\n$ a | b\n> x … (1.0)\n> z\n> [2]\n% raw $NODE 6 1\n")
	if err != nil || len(tr) != 2 || tr[0].cmd != "a | b" || tr[0].code != 2 || !tr[1].host || tr[1].line != 7 {
		t.Fatalf("%+v, %v", tr, err)
	}
	for out, want := range map[string]string{
		"x y  (1.0)\nw\r\nz":   "",
		" x a b (1.0) \n\nz\n": "",
		"z\nx y (1.0)\n":       "z",
		"x y (1.0) more\nz":    "x … (1.0)",
		"x y (1,0)\nz":         "x … (1.0)",
		"":                     "x … (1.0)",
	} {
		if got := tr[0].missing(out); got != want {
			t.Errorf("%q lacks %q, want %q", out, got, want)
		}
	}
	for _, bad := range []string{"", "only text\n", "> x\n$ a\n"} {
		if tr, err := parseTranscript(bad); err == nil {
			t.Errorf("%q is %+v", bad, tr)
		}
	}
}
