//go:build e2e

package e2e_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

var updatePage = flag.Bool("update", false, "write docs/clients.md anew")

const clientsPage = "../../docs/clients.md"

const clientsHead = `# Which client works where

Made by %s and OpenIPMI's openipmicmd and solterm, all of Debian 12, in
` + "`go test -tags e2e ./internal/e2e -run TestClients$ -update`" + `; without -update the test fails where this page is not what comes of it.
Each command ran with the client's default options against a shelf of three replicas with two guests; "yes" says that it ended with exit code
0 and showed what it was asked for. FreeIPMI has one setting, which ` + "`midplane env --freeipmi`" + ` writes: driver-type LAN_2_0, since IPMI 1.5 is off.
Its SDR cache, one for each address and not for each controller behind it, was in a directory of its own for each place (--sdr-cache-directory).

Places: a **board** is asked at its own door; **board → board** and **board → 0x20** at the door of the board in slot 1, bridged
(ipmitool: -b 0 -t; FreeIPMI: --target-channel-number=0 --target-slave-address); the **shelf** is 0x20 at the shelf's door, **shelf → board**
is bridged from there, **shelf → board → board** twice (-B 0 -T). An empty field: the client has no such way, or there is nothing to ask for.

`

const clientsTail = `
D4h is "insufficient privilege": who is administrator of a board's door reaches others no further than the board's guest does, to read; so does
whoever goes by way of a board. 83h says that nobody is there, CCh that there is no such channel, C2h that there is nothing at that LUN. At
LUN 2 (-l 2) a program in the guest answers with what it was asked.

¹ FreeIPMI asks only the controller with address 20h for sensors unless it is told --bridge-sensors, and a board's sensors are its own
address's. ipmitool finds the address by itself (PICMG Get Address Info) and would ask the wrong one if records named 20h.

In a guest, ipmitool 1.8.19 (-I open) may begin with "Get Device ID command failed: 0x26" or "unexpected ID 0 vs. 1" after events: it turns
the driver's event queue on, and takes the first event, with message ID 0 as its first request, for the answer. What was asked for is done.

bmc-info of FreeIPMI 1.6.10 may end its list of channels with some that nobody has, of numbers beyond 15: it prints what it did not fill in.
`

// checkClientsPage holds the page to the rows that just ran.
func checkClientsPage(t *testing.T) {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, clientsHead, strings.Join(clientVersions(t), ", "))
	b.WriteString("| client | command |")
	for _, p := range places {
		fmt.Fprintf(&b, " %s |", p.name)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(places)) + "\n")
	for _, r := range clientRows {
		pageRow(&b, r.client, r.words, func(p place) string {
			if o, run := r.outcome(p); run {
				return o.cell
			}
			return ""
		})
	}
	for _, r := range cycleRows {
		pageRow(&b, r.client, r.words+" (the guest boots again)", func(p place) string {
			if p.name == r.place.name {
				return "yes"
			}
			return ""
		})
	}
	for _, r := range consoleRows {
		words := strings.NewReplacer(" -I lanplus", "", " -H HOST", "", " -U admin", "", " -u admin", "", " -E", "", " -p PASSWORD", "", " -P PASSWORD", "", " -h HOST", "", " HOST", "")
		pageRow(&b, r.client, words.Replace(r.words)+" (a shell on the console)", func(p place) string {
			if p == r.place {
				return "yes"
			}
			return ""
		})
	}
	b.WriteString(clientsTail)
	if *updatePage {
		if err := os.WriteFile(clientsPage, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(clientsPage)
	if err != nil || !bytes.Equal(have, b.Bytes()) {
		t.Errorf("docs/clients.md is not what came of it (%v): go test -tags e2e ./internal/e2e -run TestClients$ -update", err)
	}
}

func pageRow(b *bytes.Buffer, client, words string, cell func(place) string) {
	fmt.Fprintf(b, "| %s | %s |", client, words)
	for _, p := range places {
		fmt.Fprintf(b, " %s |", cell(p))
	}
	b.WriteString("\n")
}

// clientVersions are what the clients say of themselves.
func clientVersions(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, c := range [][]string{{"ipmitool", "-V"}, {"bmc-info", "--version"}} {
		out, err := exec.Command(c[0], c[1:]...).CombinedOutput()
		line, _, _ := strings.Cut(string(out), "\n")
		if err != nil {
			t.Fatalf("%s: %v\n%s", c[0], err, out)
		}
		all = append(all, strings.NewReplacer("ipmitool version", "ipmitool", "bmc-info - ", "FreeIPMI ").Replace(line))
	}
	return all
}

// terminal is a program with somebody who types.
type terminal struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ended chan error

	mu    sync.Mutex
	shown []byte // since what was seen last
	more  chan struct{}
}

// typist starts a program that makes a terminal for itself.
func typist(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	p := &terminal{t: t, cmd: cmd, ended: make(chan error, 1), more: make(chan struct{}, 1)}
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = p, p
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- cmd.Wait() }()
	return p
}

func (p *terminal) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shown = append(p.shown, b...)
	select {
	case p.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (p *terminal) types(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, s); err != nil {
		p.t.Fatal(err)
	}
}

// sees waits for a text behind those that were seen before.
func (p *terminal) sees(want string) {
	p.t.Helper()
	for limit := time.After(time.Minute); ; {
		p.mu.Lock()
		_, after, ok := bytes.Cut(p.shown, []byte(want))
		if ok {
			p.shown = after
		}
		shown := string(p.shown)
		p.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-p.more:
		case <-limit:
			p.t.Fatalf("%v: not shown: %q, but\n%q", p.cmd.Args, want, shown)
		}
	}
}

// ends waits until the program has ended; how depends on who is left.
func (p *terminal) ends() {
	p.t.Helper()
	select {
	case err := <-p.ended:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			p.t.Error(err)
		}
	case <-time.After(time.Minute):
		p.t.Fatalf("%v does not end", p.cmd.Args)
	}
}
