package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node"
)

// server are the network functions of a server's controller.
var server = []ipmb.NetFn{ipmb.NetFnChassis, ipmb.NetFnSensor, ipmb.NetFnApp, ipmb.NetFnStorage, ipmb.NetFnTransport}

// served gives the rows of a server's network functions by NetFn/Cmd.
func served(tables ...[]ipmb.Command) map[string]ipmb.Command {
	rows := make(map[string]ipmb.Command)
	for _, c := range slices.Concat(tables...) {
		if slices.Contains(server, c.NetFn) {
			rows[fmt.Sprintf("%02X/%02X", uint8(c.NetFn), uint8(c.Cmd))] = c
		}
	}
	return rows
}

// TestConformance keeps docs/conformance.md what the command rows say, and the
// list of tests complete: each command that is served has one that sees its effect.
func TestConformance(t *testing.T) {
	atNode := served(nodeCommands(t, node.ProfileATCA), nodeCommands(t, node.ProfileServer))
	atShelf := served(managerCommands(t))
	in := make(sources)
	var b strings.Builder
	b.WriteString("# Conformance to IPMI 2.0\n\n")
	b.WriteString("Made from the rows of the command tables and the list of tests in `cmd/midplane/conformancerows_test.go`;\n")
	b.WriteString("`go test ./cmd/midplane -run Conformance -update` writes it anew. Each test that is named reads back an effect, or sees\n")
	b.WriteString("what is read follow a change; where nothing can change it (the cipher suites; what PEF can do; the identity and the channels at 0x20), its bytes.\n")
	b.WriteString("What is not served is answered with C1h.\n\n")
	b.WriteString("| NetFn/Cmd | name | privilege | node | 0x20 | test at a node, or why there is none | test at 0x20 |\n|---|---|---|---|---|---|---|\n")
	for _, c := range conformances {
		c.check(t, "a node", c.node, atNode, in)
		c.check(t, "0x20", c.shelf, atShelf, in)
		if (c.node == "") != (c.why != "") {
			t.Errorf("%s %s: needs tests, or a reason why it is not served", c.id, c.name)
		}
		b.WriteString(c.line(atNode, atShelf))
		delete(atNode, c.id)
		delete(atShelf, c.id)
	}
	for id, c := range atNode {
		t.Errorf("%s %s is served by a node and not in the list", id, c.Name)
	}
	for id, c := range atShelf {
		t.Errorf("%s %s is served at 0x20 and not in the list", id, c.Name)
	}
	keepDocument(t, "../../docs/conformance.md", b.String())
}

// check compares an entry with the row that serves it.
func (c conformance) check(t *testing.T, where, tests string, rows map[string]ipmb.Command, in sources) {
	row, there := rows[c.id]
	switch {
	case there && tests == "":
		t.Errorf("%s %s is served by %s: name the test that sees its effect", c.id, c.name, where)
	case !there && tests != "":
		t.Errorf("%s %s is not served by %s", c.id, c.name, where)
	case there && (row.Name != c.name || row.Privilege < c.least):
		t.Errorf("%s is %q for %v at %s, want %q for %v at least", c.id, row.Name, row.Privilege, where, c.name, c.least)
	}
	if err := c.seenBy(strings.Fields(tests), in); err != nil {
		t.Errorf("%s %s: %v", c.id, c.name, err)
	}
}

func (c conformance) line(atNode, atShelf map[string]ipmb.Command) string {
	privilege, seen := c.least, c.why
	if row, ok := atNode[c.id]; ok {
		privilege, seen = row.Privilege, strings.ReplaceAll(c.node, " ", ", ")
	}
	yes := map[bool]string{true: "yes", false: "C1h"}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s |\n",
		c.id, c.name, privilege, yes[c.node != ""], yes[c.shelf != ""], seen, strings.ReplaceAll(c.shelf, " ", ", "))
}

// seenBy checks that there are tests of these names, and that the file of one
// has the command: by its bytes, with or without the network function, or by a
// constant.
func (c conformance) seenBy(names []string, in sources) error {
	asked := len(names) == 0
	for _, name := range names {
		in, err := in.of(name)
		if err != nil {
			return err
		}
		source, err := in.test(name)
		if err != nil {
			return err
		}
		asked = asked || c.asks(in).Match(source)
	}
	if !asked {
		return fmt.Errorf("no file of %q asks it", names)
	}
	return nil
}

// asks gives what stands for the command in a package: its bytes, and the
// constants of that value.
func (c conformance) asks(in pkg) *regexp.Regexp {
	netFn, cmd, _ := strings.Cut(c.id, "/")
	forms := []string{`"(` + netFn + ` ?)?` + cmd, `0x` + cmd, `Cmd` + strings.ReplaceAll(c.name, " ", "")}
	for _, name := range in.constants[strings.ToLower(cmd)] {
		forms = append(forms, `\b`+name)
	}
	return regexp.MustCompile(`(?i)(` + strings.Join(forms, "|") + `)\b`)
}

// constant finds what the numbers of commands are called.
var constant = regexp.MustCompile(`(?m)^\s*(?:const )?(cmd\w+)[^=\n]*= 0x([0-9A-Fa-f]{2})\b`)

// pkg is a package: its files, and the constants that are numbers of commands, by number.
type pkg struct {
	files     map[string][]byte
	constants map[string][]string
}

// sources are packages, read once.
type sources map[string]pkg

// of gives a test's package.
func (s sources) of(name string) (pkg, error) {
	dir := filepath.Join("../..", name[:strings.LastIndexByte(name, '.')])
	if in, ok := s[dir]; ok {
		return in, nil
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return pkg{}, err
	}
	in := pkg{make(map[string][]byte), make(map[string][]string)}
	for _, path := range paths {
		source, err := os.ReadFile(path)
		if err != nil {
			return pkg{}, err
		}
		in.files[path] = source
		for _, m := range constant.FindAllSubmatch(source, -1) {
			cmd := strings.ToLower(string(m[2]))
			in.constants[cmd] = append(in.constants[cmd], string(m[1]))
		}
	}
	s[dir] = in
	return in, nil
}

// test gives the file that has a test.
func (in pkg) test(name string) ([]byte, error) {
	test := name[strings.LastIndexByte(name, '.')+1:]
	for path, source := range in.files {
		if !strings.HasSuffix(path, "_test.go") || !bytes.Contains(source, []byte("func "+test+"(")) {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		if hasTest(file, test) {
			return source, nil
		}
	}
	return nil, fmt.Errorf("there is no test %s", name)
}

func hasTest(file *ast.File, name string) bool {
	return strings.HasPrefix(name, "Test") && slices.ContainsFunc(file.Decls, func(d ast.Decl) bool {
		f, ok := d.(*ast.FuncDecl)
		return ok && f.Recv == nil && f.Name.Name == name
	})
}
