package attack

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/security.md anew")

const page = "../../docs/security.md"

// items are the attacks that a chassis manager must withstand. further names
// tests that look at the same from within, as folder.TestName.
var items = []struct {
	id, what string
	further  []string
}{
	{"S1", "cipher suite 0", []string{"ipmb/rmcp.TestCipherSuites"}},
	{"S2", "suites that leave messages unsigned or readable; algorithms mixed or reserved", []string{"ipmb/rmcp.TestCipherSuites"}},
	{"S3", "packets of a session without its signature and encryption", []string{"ipmb/rmcp.TestForged", "ipmb/rmcp.TestRequestThatWaits"}},
	{"S4", "lengths that lie; datagrams of any size", []string{"ipmb/rmcp.TestLyingLengths", "ipmb/rmcp.FuzzPacket", "ipmb/rmcp.FuzzLogin"}},
	{"S5", "numbers of types as an index", []string{"ipmb/rmcp.TestForged"}},
	{"S6", "privilege before RAKP Message 4; steps out of order; user 0; what a closed session leaves", []string{"ipmb/rmcp.TestOrder", "ipmb/rmcp.TestForgedChallenges", "ipmb/rmcp.TestForgedHandover"}},
	{"S7", "the hash that RAKP Message 2 gives away", []string{"ipmb/rmcp.TestUnknownLooksKnown", "node.TestFirstAdmin"}},
	{"S8", "null user, empty password, anonymous login", []string{"ipmb/rmcp.TestRefusedLogins"}},
	{"S9", "passwords in answers, logs, files and memory", []string{"node.TestFirstAdmin"}},
	{"S10", "privilege by way of a bridge", []string{"node.TestBridgedPrivilege", "node.TestBridgedByTheOwnController", "node.TestDeliveredPrivilege", "shelf/manager.TestGuestsAreRefused"}},
	{"S11", "a guest's interface against other controllers", []string{"node.TestGuestPolicy", "node.TestNested", "shelf/manager.TestGuestsAreRefused"}},
	{"S12", "replay; numbers outside the window; tables that fill", []string{"ipmb/rmcp.TestWindow", "ipmb/rmcp.TestHalfOpen", "ipmb/rmcp.TestFull"}},
	{"S13", "the VM protocol's stream", []string{"node/vm.FuzzDecoder"}},
	{"S14", "what our answers do to clients: lengths, FRU information, strings", []string{"ipmb/mc.FuzzFRUs", "ipmb/mc.TestFRUModel"}},
}

const pageHead = `# Attacks, and the tests that run them

Made by ` + "`go test ./internal/attack -run List -update`" + `; the test fails when this page is not what is there.
Each test named in the second column runs the attack against real listeners: the UDP sockets of a node's LAN door and of the shelf manager's
(behind its front), the socket of the VM protocol, the bridge to other boards. Those whose file ends in _e2e_test.go use the clients that people have.
The last column names tests that look at the same from within.

| attack | test at the listener | what it shows | tests within |
|---|---|---|---|
`

const pageTail = `
What the protocols leave to those who run a shelf:

- RAKP Message 2 lets anybody who reaches the door guess at a password without the door's knowing (S7). The door's own password has 16
  random characters; who sets a weaker one, or listens where strangers are, should use suite 17, K_G and a firewall. All doors of a
  lab begin with one such password, unless shelf.yaml has lan: {password: own}.
- IPMI needs passwords as they are, not hashed. They are sealed in the store (AES-256-GCM); the key is in a file of mode 0600 beside it,
  so that whoever reads both files as the daemon's user has the passwords.
- Who is administrator of a board's own door is nobody elsewhere: others are reached no further than the board's guest reaches them.
- So is who has a board's certificate: what comes off its stream is held to the same, whoever it says speaks. He can still lie about his
  own board: its sensors, events and answers.
`

// TestList holds the page to the tests that there are: each item has one.
func TestList(t *testing.T) {
	tests := attackTests(t)
	var b bytes.Buffer
	b.WriteString(pageHead)
	for _, it := range items {
		mine := tests[it.id]
		if len(mine) == 0 {
			t.Errorf("%s has no test", it.id)
		}
		delete(tests, it.id)
		for _, f := range it.further {
			exists(t, f)
		}
		head, tail := it.id+": "+it.what, strings.Join(it.further, ", ")
		for _, one := range mine {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", head, one.name, one.says, tail)
			head, tail = "", ""
		}
	}
	for _, one := range tests[""] {
		fmt.Fprintf(&b, "| beside them | %s | %s | |\n", one.name, one.says)
	}
	delete(tests, "")
	if len(tests) > 0 {
		t.Errorf("tests of items that are not listed: %v", tests)
	}
	b.WriteString(pageTail)
	if *update {
		if err := os.WriteFile(page, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil || !bytes.Equal(have, b.Bytes()) {
		t.Errorf("docs/security.md is not what is there (%v): go test ./internal/attack -run List -update", err)
	}
}

// attackTest is a test, and its comment without the item's name.
type attackTest struct{ name, says string }

var testName = regexp.MustCompile(`^TestAttack(S\d+)?[A-Z]`)

// attackTests finds the tests of this folder by item, in the order of files.
func attackTests(t *testing.T) map[string][]attackTest {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]attackTest)
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			m := testName.FindStringSubmatch(f.Name.Name)
			if m == nil {
				continue
			}
			says := strings.Join(strings.Fields(f.Doc.Text()), " ")
			if rest, ok := strings.CutPrefix(says, m[1]+": "); ok {
				says = strings.ToUpper(rest[:1]) + rest[1:]
			}
			name := strings.TrimPrefix(f.Name.Name, "TestAttack")
			all[m[1]] = append(all[m[1]], attackTest{fmt.Sprintf("%s (%s)", name, file), says})
		}
	}
	return all
}

// exists looks for a test that is named folder.TestName.
func exists(t *testing.T, name string) {
	t.Helper()
	dir, fn, _ := strings.Cut(name, ".")
	files, _ := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil && bytes.Contains(text, []byte("func "+fn+"(")) {
			return
		}
	}
	t.Errorf("there is no %s", name)
}
