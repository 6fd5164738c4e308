//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// clientPatience is for one command of a client's. Those that wait for answers
// that never come end later.
const clientPatience = 2 * time.Minute

// place is where a client asks from, and whom.
type place struct {
	name   string
	target string // beyond the door; empty: the door's own controller
	// transit is a further controller on the way.
	transit string
}

var (
	atBoard    = place{"board", "", ""}
	overBoard  = place{"board → board", "0x84", ""}
	boardShelf = place{"board → 0x20", "0x20", ""}
	atShelf    = place{"shelf", "", ""}
	overShelf  = place{"shelf → board", "0x82", ""}
	overTwo    = place{"shelf → board → board", "0x84", "0x82"}

	places = []place{atBoard, overBoard, boardShelf, atShelf, overShelf, overTwo}
)

// isShelf reports whether the place is at the shelf's door.
func (p place) isShelf() bool { return strings.HasPrefix(p.name, "shelf") }

// outcome is what a client must say, and what the page says of it.
type outcome struct {
	says string // regular expression in its output
	fail bool   // with an exit code that is not 0
	cell string // on the page
}

func yes(proof string) outcome { return outcome{proof, false, "yes"} }

// refused is what becomes of a command that a board's door lets pass to no
// other controller.
var refused = outcome{`(?i)insufficient privilege|privilege level|bad completion code|rsp=0xd4|\bd4\b`, true, "D4h"}

// nobody is what comes of asking software where there is none.
var nobody = outcome{`rsp=0xc2`, true, "C2h"}

// silent is how lan print takes it.
var silent = outcome{`^\s*$`, true, "D4h"}

// clientRow is one command of one client.
type clientRow struct {
	client string
	words  string // what stands behind the client's own options; | separates what has spaces
	want   outcome
	at     map[place]outcome // other than want; one without text is not run
}

// only gives the outcomes of a row that is run at some places alone.
func only(all ...place) map[place]outcome {
	m := make(map[place]outcome)
	for _, p := range places {
		if !slices.Contains(all, p) {
			m[p] = outcome{}
		}
	}
	return m
}

// guarded are those of a command that boards let pass to nobody else, neither
// from their own doors nor on somebody's way.
func guarded() map[place]outcome {
	return map[place]outcome{overBoard: refused, boardShelf: refused, overTwo: refused}
}

// but changes the outcome at a place.
func but(m map[place]outcome, p place, o outcome) map[place]outcome { m[p] = o; return m }

// argv is the command line of a row at a place.
func (r clientRow) argv(d lanDoor, p place, conf string) []string {
	words := strings.Fields(r.words)
	if strings.Contains(r.words, "|") {
		words = strings.Split(r.words, "|")
	}
	host, port := d.addr.Addr().String(), fmt.Sprint(d.addr.Port())
	switch r.client {
	case "ipmitool":
		all := []string{"ipmitool", "-I", "lanplus", "-H", host, "-p", port, "-U", "admin", "-E"}
		if p.transit != "" {
			all = append(all, "-B", "0", "-T", p.transit)
		}
		if p.target != "" {
			all = append(all, "-b", "0", "-t", p.target)
		}
		return append(all, words...)
	case "openipmicmd":
		to := "0f"
		if p.target != "" {
			to = "00 " + strings.TrimPrefix(p.target, "0x")
		}
		return []string{"openipmicmd", "-k", to + " " + r.words, "lan", "-U", "admin", "-P", d.password, "-p", port, host}
	}
	all := []string{words[0], "--config-file", conf, "-h", d.addr.String()}
	if slices.Contains([]string{"ipmi-sensors", "ipmi-sel", "ipmi-fru"}, words[0]) {
		all = append(all, "--sdr-cache-directory", filepath.Dir(conf))
	}
	if p.target != "" {
		all = append(all, "--target-channel-number=0", "--target-slave-address="+p.target)
	}
	return append(all, words[1:]...)
}

// knows reports whether the client can ask at the place at all: only ipmitool
// bridges twice, and FreeIPMI takes 0x20 for the controller that it talks to.
func (r clientRow) knows(p place) bool {
	switch r.client {
	case "ipmitool":
		return true
	case "openipmicmd":
		return p != overTwo
	}
	return p != overTwo && p != boardShelf && (p.target == "" || !strings.HasPrefix(r.words, "ipmipower"))
}

// outcome is what must come of the row at a place.
func (r clientRow) outcome(p place) (o outcome, run bool) {
	o, other := r.at[p]
	if !other {
		o = r.want
	}
	return o, r.knows(p) && o.says != ""
}

// answering has a program in a guest answer what software is asked by LUN 2.
const answering = `midplane-guest respond --netfn 6 --cmd 1 </dev/null >/tmp/asked 2>&1 &
	until grep -q answering /tmp/asked; do sleep 0.05; done`

const deviceID = `20 [08]1 00 10 02`

var clientRows = []clientRow{
	{"ipmitool", "mc info", yes(`IPMI Version +: 2\.0`), nil},
	{"ipmitool", "mc guid", yes(`System GUID +: [0-9a-f]{8}-`), nil},
	{"ipmitool", "mc selftest", yes(`Selftest: passed`), nil},
	{"ipmitool", "sdr elist all", yes(`CPU Temp +\| 20h \| ok +\| .*degrees C`), but(nilMap(), atShelf, yes(`(?s)Replicas .*CPU Temp +\| 20h \| ok`))},
	{"ipmitool", "sensor", yes(`CPU Temp +\| [0-9.]+ +\| degrees C +\| ok`), nil},
	{"ipmitool", "sel elist", yes(`OS Boot OS Boot \| boot completed`), nil},
	{"ipmitool", "fru print", yes(`Board Mfg +: Midplane`), nil},
	{"ipmitool", "chassis status", yes(`System Power +: on`), nil},
	{"ipmitool", "chassis power status", yes(`Chassis Power is on`), nil},
	{"ipmitool", "user list 1", yes(`2 +admin .*ADMINISTRATOR`), guarded()},
	{"ipmitool", "user summary 1", yes(`Enabled User Count +: [1-9]`), guarded()},
	{"ipmitool", "channel info 1", yes(`Channel Medium Type +: 802\.3 LAN`), nil},
	{"ipmitool", "channel getaccess 1 2", yes(`User Name +: admin`), guarded()},
	{"ipmitool", "session info all", yes(`session type +: IPMIv2/RMCP\+`), but(but(guarded(), overShelf, outcome{}), overTwo, outcome{})},
	{"ipmitool", "lan print 1", yes(`RMCP\+ Cipher Suites +: 17,3`), but(but(but(guarded(), overBoard, silent), boardShelf, silent), overTwo, silent)},
	{"ipmitool", "sol info 1", yes(`Enabled +: true`), but(guarded(), atShelf, outcome{})},
	{"ipmitool", "picmg addrinfo", yes(`IPMB-0 Address +: 0x(82|84|20)`), nil},
	{"ipmitool", "-l 2 raw 6 1 0x55", yes(`^ 55\s*$`), but(but(but(nilMap(), boardShelf, nobody), atShelf, nobody), overTwo, outcome{})},
	{"ipmitool", "-L USER chassis power cycle", outcome{`Insufficient privilege level`, true, "D4h"}, nil},
	{"ipmitool", "-L OPERATOR mc info", yes(`IPMI Version +: 2\.0`), nil},
	{"ipmitool", "-C 3 mc info", yes(`IPMI Version +: 2\.0`), nil},
	{"ipmitool", "-C 17 mc info", yes(`IPMI Version +: 2\.0`), nil},
	{"ipmitool", "-C 0 mc info", outcome{`(?i)invalid|no matching|unable to establish`, true, "refused"}, only(atBoard, atShelf)},
	{"ipmitool", "-b 0 -t 0x90 mc info", outcome{`(?s)0x83`, true, "83h"}, only(atBoard, atShelf)},
	{"ipmitool", "-b 7 -t 0x84 mc info", outcome{`Invalid data field`, true, "CCh"}, only(atBoard, atShelf)},

	{"FreeIPMI", "bmc-info", yes(`IPMI Version +: 2\.0`), nil},
	{"FreeIPMI", "ipmi-sensors", outcome{`CPU Temp +\| Temperature +\| N/A`, false, "yes, N/A¹"}, but(nilMap(), atShelf, yes(`Replicas +\| .*'`))},
	{"FreeIPMI", "ipmi-sensors --bridge-sensors", yes(`CPU Temp +\| Temperature +\| [0-9.]+ +\| C`), only(atBoard, atShelf)},
	{"FreeIPMI", "ipmi-sel", yes(`OS Boot`), nil},
	{"FreeIPMI", "ipmi-fru", yes(`Board Manufacturer: Midplane`), nil},
	{"FreeIPMI", "ipmi-fru --bridge-fru", yes(`Board Manufacturer: Midplane`), only(atBoard, atShelf)},
	{"FreeIPMI", "ipmi-chassis --get-chassis-status", yes(`System Power +: on`), nil},
	{"FreeIPMI", "ipmi-chassis --chassis-control=POWER-CYCLE -l USER", outcome{`privilege level insufficient|bad completion code|driver busy|privilege`, true, "D4h"}, only(atBoard, atShelf)},
	{"FreeIPMI", "ipmipower --stat", yes(`: on`), nil},
	{"FreeIPMI", "ipmi-raw 0 6 1", yes(`rcvd: 01 00 ` + deviceID), nil},
	{"FreeIPMI", "ipmi-raw 2 6 1 55", yes(`rcvd: 01 00 55`), only(atBoard)},
	{"FreeIPMI", "ipmi-config --checkout --category=core --section=User2", yes(`Username +admin`), but(nilMap(), overBoard, outcome{`Unable to get Number of Users`, true, "D4h"})},
	{"FreeIPMI", "ipmi-raw --target-channel-number=0 --target-slave-address=0x90 0 6 1", outcome{`bad completion code`, true, "83h"}, only(atBoard, atShelf)},

	{"openipmicmd", "00 06 01", yes(`07 00 01 00 ` + deviceID), nil},
	{"openipmicmd", "02 06 01 55", yes(`07 0[02] 01 00 55`), only(atBoard)},
	{"openipmicmd", "00 00 01", yes(`01 00 01 00 [26]1`), nil},
	{"openipmicmd", "00 0a 20", yes(`0b 00 20 00 51`), nil},
	{"openipmicmd", "00 06 46 02", yes(`07 00 46 00 61 64 6d 69 6e`), but(but(guarded(), overBoard, outcome{`d4`, false, "D4h"}), boardShelf, outcome{`d4`, false, "D4h"})},
}

func nilMap() map[place]outcome { return make(map[place]outcome) }

// consoleRows are the clients of serial over LAN, and what leaves them.
var consoleRows = []struct {
	client, words, leave string
	place                place
	board                string // whose console it is
}{
	{"ipmitool", "ipmitool -I lanplus -H HOST -U admin -E sol activate", "~.", atBoard, "blade1"},
	{"FreeIPMI", "ipmiconsole -h HOST -u admin -p PASSWORD", "&.", atBoard, "blade1"},
	{"solterm (OpenIPMI)", "solterm lan -U admin -P PASSWORD -A rmcp+ HOST", "~.", atBoard, "blade1"},
	{"ipmitool", "ipmitool -I lanplus -H HOST -U admin -E sol activate instance=2", "~.", atShelf, "blade2"},
	{"FreeIPMI", "ipmiconsole -h HOST -u admin -p PASSWORD --sol-payload-instance=2", "&.", atShelf, "blade2"},
	{"solterm (OpenIPMI)", "solterm lan -U admin -P PASSWORD -A rmcp+ HOST", "~.", atShelf, "blade1"},
}

// cycleRows cycle the power of a board's VM, whose guest boots again. Rows
// behind each other are for two boards at once.
var cycleRows = []struct {
	clientRow
	place place
	board string // whose guest it is
}{
	{clientRow{"ipmitool", "chassis power cycle", yes(`Chassis Power Control: Cycle`), nil}, atBoard, "blade1"},
	{clientRow{"FreeIPMI", "ipmi-chassis --chassis-control=POWER-CYCLE", yes(``), nil}, place{overShelf.name, "0x84", ""}, "blade2"},
	{clientRow{"FreeIPMI", "ipmipower --cycle", yes(`: ok`), nil}, atBoard, "blade1"},
	{clientRow{"ipmitool", "chassis power cycle", yes(`Chassis Power Control: Cycle`), nil}, place{overShelf.name, "0x84", ""}, "blade2"},
}

// TestClients asks a shelf and its boards with the clients that people have,
// with nothing of ours in between; docs/clients.md is what came of it.
func TestClients(t *testing.T) {
	s := clients(t)
	var group sync.WaitGroup
	for pair := range slices.Chunk(cycleRows, 2) { // first: it leaves something in each log
		for _, r := range pair {
			before := s.bootID(t, r.board)
			group.Go(func() {
				s.run(t, r.clientRow, r.place, r.want)
				s.booted(t, r.board, before)
			})
		}
		group.Wait()
	}
	for _, board := range []string{"blade1", "blade2"} {
		s.one(t, board, answering)
	}
	for _, p := range places {
		group.Go(func() { s.ask(t, p) })
	}
	group.Wait()
	s.consoles(t)
	t.Run("console at the shelf's door", s.atShelfConsole)
	s.healthy(t)
	if !t.Failed() {
		checkClientsPage(t)
	}
}

// ask runs all rows at a place, one after the other.
func (s *clientShelf) ask(t *testing.T, p place) {
	for _, r := range clientRows {
		if want, run := r.outcome(p); run {
			s.run(t, r, p, want)
		}
	}
}

// run runs a row at a place.
func (s *clientShelf) run(t *testing.T, r clientRow, p place, want outcome) {
	d := s.doorOf(p)
	argv := r.argv(d, p, s.conf(p))
	ctx, cancel := context.WithTimeout(t.Context(), clientPatience)
	defer cancel()
	out, err := d.command(ctx, argv[0], argv[1:]...).CombinedOutput()
	if (err != nil) != want.fail || !regexp.MustCompile(want.says).Match(out) {
		shown := strings.ReplaceAll(strings.Join(argv, " "), d.password, "…")
		t.Errorf("%s: %s: %v, want %q, exit code not 0: %v\n%s", p.name, shown, err, want.says, want.fail, lastLines(string(out), 40))
	}
}

// consoles opens a board's console with each client, looks at what a shell
// there answers, and leaves.
func (s *clientShelf) consoles(t *testing.T) {
	for i, r := range consoleRows {
		d := s.doorOf(r.place)
		line := strings.NewReplacer("HOST", d.addr.Addr().String(), "PASSWORD", d.password).Replace(r.words)
		p := typist(t, d.command(t.Context(), "script", "-qec", line, "/dev/null"))
		p.types("\r")
		p.sees(r.board + ":") // its shell asks so
		p.sees("# ")
		mark := fmt.Sprint(100 + i)
		p.types("echo $((6*7))" + mark + "\r")
		p.sees("42" + mark)
		p.types("seq 1 1000\r") // as many packets as a session's numbers show by
		p.sees("\n1000\r")
		p.sees("# ")
		p.types(r.leave)
		p.ends()
	}
}
