package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/deploy/lab/proc"
	"github.com/midplane-project/midplane/deploy/lab/supervise"
)

const doorPassword = "Sixteen0Letters1"

// withDoors gives the nodes' doors a password, and puts an ipmitool of the
// test's own in the way of the real one, which says how it was called.
func withDoors(t *testing.T) *fakeShelf {
	t.Helper()
	s := newFakeShelf(t)
	for _, d := range s.lab.Doors() {
		writeFile(t, d.PasswordFile, doorPassword+"\n")
	}
	bin := t.TempDir()
	tool := filepath.Join(bin, "ipmitool")
	writeFile(t, tool, `#!/bin/sh
printf '<%s>' "$@"; echo " $IPMITOOL_PASSWORD"; cat; echo oops >&2
[ "$9" = kill ] && kill -9 $$
exit 42
`)
	if err := os.Chmod(tool, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	return s
}

// openDoors moves the shelf's doors to a port where each answers pings.
func (s *fakeShelf) openDoors() (port string) {
	s.t.Helper()
	at := "0"
	for i := range s.lab.Doors() {
		conn, err := net.ListenPacket("udp", fmt.Sprintf("127.77.1.%d:%s", i, at))
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { conn.Close() })
		go echo(conn)
		if i == 0 {
			_, at, _ = net.SplitHostPort(conn.LocalAddr().String())
			s.lanPort(at)
		}
	}
	return at
}

func echo(conn net.PacketConn) {
	b := make([]byte, 100)
	for {
		n, peer, err := conn.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = conn.WriteTo(b[:n], peer)
	}
}

// lanPort gives the shelf's doors another port.
func (s *fakeShelf) lanPort(port string) {
	s.t.Helper()
	path := filepath.Join(s.lab.StateDir, "lab.json")
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	writeFile(s.t, path, strings.Replace(string(text), `"lan_port":623`, `"lan_port":`+port, 1))
}

func TestIPMI(t *testing.T) {
	s := withDoors(t)
	port := s.openDoors()
	at := func(slot string) string {
		return "<-I><lanplus><-H><127.77.1." + slot + "><-p><" + port + "><-U><admin><-E>"
	}
	for _, c := range []struct {
		args string
		want result
	}{
		{"ipmi blade2 sdr elist", result{at("2") + "<sdr><elist> " + doorPassword + "\ntyped", "oops\n", 42}},
		{"ipmi 1 -v --shelf x", result{at("1") + "<-v><--shelf><x> " + doorPassword + "\ntyped", "oops\n", 42}},
		{"ipmi shelf -b 0 -t 0x90 mc info", result{at("0") + "<-b><0><-t><0x90><mc><info> " + doorPassword + "\ntyped", "oops\n", 42}},
		{"ipmi 0x90 mc info", result{at("0") + "<-b><0><-t><0x90><mc><info> " + doorPassword + "\ntyped", "oops\n", 42}},
		{"ipmi 0x84 -- -h", result{at("2") + "<-h> " + doorPassword + "\ntyped", "oops\n", 42}},
	} {
		if got := s.feed("typed", strings.Fields(c.args)...); got != c.want {
			t.Errorf("%s\n got  %+v\n want %+v", c.args, got, c.want)
		}
	}
	for args, words := range map[string]string{
		"ipmi blade1":         "midplane ipmi blade1 mc info",
		"ipmi blade9 mc info": "no TARGET",
	} {
		if got := s.run(strings.Fields(args)...); got.code != 125 || !strings.Contains(got.err, words) {
			t.Errorf("%s: %+v", args, got)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if got := s.run("ipmi", "blade1", "mc", "info"); got.code != 125 || !strings.Contains(got.err, "apt install ipmitool") {
		t.Errorf("%+v", got)
	}
}

// Where nobody is at the door it says so at once, as other commands do, and
// ipmitool does not run.
func TestIPMIWithNobodyThere(t *testing.T) {
	s := withDoors(t)
	closed, err := net.ListenPacket("udp", "127.77.1.0:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(closed.LocalAddr().String())
	closed.Close()
	s.lanPort(port)
	check := func(args, other, words string) {
		t.Helper()
		got := s.run(strings.Fields(args)...)
		if got.code != 5 || got.out != "" || !strings.Contains(got.err, words) {
			t.Errorf("%s: %+v, want %s", args, got, words)
		}
		if other == "" {
			return
		}
		if alike := s.run(strings.Fields(other)...); alike.code != got.code || alike.err != got.err {
			t.Errorf("%s: %+v\n%s: %+v", args, got, other, alike)
		}
	}
	check("ipmi shelf mc info", "raw shelf 6 1", toStart)
	check("ipmi 0x90 mc info", "raw 0x90 6 1", toStart)
	check("ipmi blade1 mc info", "raw --via node blade1 6 1", "blade1 does not answer")
	s.whole()
	check("ipmi shelf mc info", "", "connection refused\n  where: 127.77.1.0:"+port+"\n  to do: "+toStart)
	check("ipmi blade1 mc info", "", "nobody is at the LAN door of blade1")
	s.planFront()
	check("ipmi shelf mc info", "", "front does not run\n  where: 127.77.1.0:"+port+"\n  to do: midplane start front")
}

// planFront has a shelf that should have a front, which does not run.
func (s *fakeShelf) planFront() supervise.Dir { return s.plan("front") }

// plan has a shelf that should have such processes, which do not run.
func (s *fakeShelf) plan(names ...string) supervise.Dir {
	s.t.Helper()
	d := supervise.Dir(s.lab.StateDir)
	if err := d.Make(); err != nil {
		s.t.Fatal(err)
	}
	var p supervise.Plan
	for _, name := range names {
		p.Processes = append(p.Processes, supervise.Process{Name: name})
	}
	if err := d.SetPlan(p); err != nil {
		s.t.Fatal(err)
	}
	return d
}

// runs records a process of the plan as the one that id says.
func (s *fakeShelf) runs(d supervise.Dir, name string, id proc.ID) {
	s.t.Helper()
	record, err := json.Marshal(supervise.Record{ID: id, Process: supervise.Process{Name: name}})
	if err != nil {
		s.t.Fatal(err)
	}
	writeFile(s.t, filepath.Join(string(d), "run", supervise.Key(name)+".json"), string(record))
}

func TestPSOfAShelfWhoseDoorIsShut(t *testing.T) {
	s := newFakeShelf(t)
	s.whole()
	const words = "its LAN door is shut, front does not run: midplane start front"
	for _, want := range []bool{false, true} {
		if want {
			s.planFront()
		}
		text, doc := s.run("ps"), s.run("ps", "-o", "json")
		var v shelfView
		if err := json.Unmarshal([]byte(doc.out), &v); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text.out, "shm2 leads, term 4; "+words) != want || slices.Contains(v.Health, words) != want || v.Health == nil {
			t.Errorf("shut %v: %s\n%s", want, text.out, doc.out)
		}
	}
}

// A front that runs is not yet a door that answers.
func TestPSOfASilentDoor(t *testing.T) {
	s := newFakeShelf(t)
	s.whole()
	id, err := proc.Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	s.runs(s.planFront(), "front", id)
	conn, err := net.ListenPacket("udp", "127.77.1.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, port, _ := net.SplitHostPort(conn.LocalAddr().String())
	s.lanPort(port)
	asked := make(chan int)
	go func() { // answers who asks twice
		n := 0
		for b := make([]byte, 100); ; n++ {
			size, peer, err := conn.ReadFrom(b)
			if err != nil {
				asked <- n
				return
			}
			if n > 0 {
				_, _ = conn.WriteTo(b[:size], peer)
			}
		}
	}()
	if got := s.run("ps"); !strings.Contains(got.out, "shm2 leads, term 4  ") && !strings.Contains(got.out, "shm2 leads, term 4\n") {
		t.Errorf("%s", got.out)
	}
	conn.Close()
	if n := <-asked; n < 2 {
		t.Errorf("asked %d times", n)
	}
	const words = "its LAN door is shut, nobody answers at 127.77.1.0:"
	if got := s.run("ps"); !strings.Contains(got.out, words+port+": see midplane logs front") {
		t.Errorf("%s", got.out)
	}
}

// An ipmitool that a signal ended is told apart from one that failed.
func TestIPMIEndedByASignal(t *testing.T) {
	s := withDoors(t)
	s.openDoors()
	writeFile(t, filepath.Join(strings.Split(os.Getenv("PATH"), ":")[0], "ipmitool"), "#!/bin/sh\nkill -9 $$\n")
	if got := s.run("ipmi", "blade1", "mc", "info"); got.code != 137 {
		t.Errorf("%+v", got)
	}
}

// What env prints does the same in all shells, with and without quotes.
func TestEnv(t *testing.T) {
	s := withDoors(t)
	text := s.run("env", "blade2")
	if text.code != 0 || text.err != "" {
		t.Fatalf("%+v", text)
	}
	want := "ipmitool -I lanplus -H 127.77.1.2 -p 623 -U admin -E|" + doorPassword
	for _, shell := range []string{"sh", "bash"} {
		for _, eval := range []string{`eval $(cat "$1")`, `eval "$(cat "$1")"`, `. "$1"`} {
			file := filepath.Join(t.TempDir(), "env")
			writeFile(t, file, text.out)
			script := eval + `; sh -c 'printf "%s|%s" "$IPMITOOL" "$IPMITOOL_PASSWORD"'`
			out, err := exec.Command(shell, "-c", script, shell, file).CombinedOutput()
			if err != nil || string(out) != want {
				t.Errorf("%s: %s: %q, %v", shell, eval, out, err)
			}
		}
	}
	first := s.run("env")
	if first.code != 0 || !strings.Contains(first.out, "127.77.1.0") || first.err != "" {
		t.Errorf("%+v", first)
	}
	if got := s.run("env", "0x90"); got.code != 3 || !strings.Contains(got.err, "these have one: shelf, blade1, blade2") {
		t.Errorf("%+v", got)
	}
	if err := os.Remove(s.lab.Doors()[0].PasswordFile); err != nil {
		t.Fatal(err)
	}
	if got := s.run("env"); got.code != 3 || !strings.Contains(got.err, "midplane up makes it") {
		t.Errorf("%+v", got)
	}
}

// What up says of the doors: lines to paste for the first, and how to come by
// those of the others.
func TestSayDoors(t *testing.T) {
	s := withDoors(t)
	say := func() string {
		l, err := lab.Open("demo")
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		(&app{out: &out}).sayDoors(l)
		return out.String()
	}
	const others = "\n  likewise for the others: midplane env blade2, midplane ipmi blade2 mc info; midplane ps lists them\n"
	if text := say(); !strings.HasSuffix(text, " mc info   # blade1"+others) || strings.Count(text, "\n") != 4 {
		t.Error(text)
	}
	writeFile(t, filepath.Join(s.lab.StateDir, "shelf.yaml"), strings.Replace(fakeShelfFile, "interface: bt", "lan: off", 1))
	if text := say(); strings.Contains(text, "others") || strings.Count(text, "\n") != 3 {
		t.Error(text)
	}
}

func TestEnvForFreeIPMI(t *testing.T) {
	s := withDoors(t)
	got := s.run("env", "--freeipmi", "blade1")
	if got.code != 0 || !strings.Contains(got.out, "\nbmc-info --config-file=HOME/demo/nodes/blade1/freeipmi.conf -h 127.77.1.1:623\n") {
		t.Errorf("%+v", got)
	}
	if strings.Contains(got.out, doorPassword) {
		t.Error("it shows the password")
	}
}

// Where the shelf manager has no door, the first node's serves.
func TestEnvWithoutTheShelfsDoor(t *testing.T) {
	s := withDoors(t)
	writeFile(t, filepath.Join(s.lab.StateDir, "shelf.yaml"), "lan: off\ndefaults: {lan: on}\n"+fakeShelfFile)
	first := s.run("env")
	if first.code != 0 || !strings.Contains(first.out, "127.77.1.1") || !strings.Contains(first.err, "this is blade1's") {
		t.Errorf("%+v", first)
	}
	for args, words := range map[string]string{"env shelf": "shelf.yaml says so", "ipmi 0x90 mc info": "0x90 has no LAN door"} {
		if got := s.run(strings.Fields(args)...); !strings.Contains(got.err, words) || !strings.Contains(got.err, "these have one: blade1, blade2") {
			t.Errorf("%s: %+v", args, got)
		}
	}
}
