//go:build e2e

package e2e_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// TestLANSoftware has clients at a node's own door ask the guest's software, by
// LUN 2, and Linux carry its answers back to their sessions.
func TestLANSoftware(t *testing.T) {
	s := lines.up(t)
	s.one(t, "basic", `midplane-guest respond --netfn 6 --cmd 1 --count 5 --for 3m </dev/null >/tmp/lan 2>&1 &
		until grep -q answering /tmp/lan; do sleep 0.05; done`)
	var board, manager lanDoor
	for _, d := range s.Doors() {
		password, err := d.Password()
		if err != nil {
			t.Fatal(err)
		}
		switch one := (lanDoor{d.Address, password}); {
		case d.Target.Shelf:
			manager = one
		case d.Target.Name == "basic":
			board = one
		}
	}
	ask := func(d lanDoor, line, want string) {
		t.Helper()
		host, port := d.addr.Addr().String(), fmt.Sprint(d.addr.Port())
		words := strings.Fields(strings.NewReplacer("AT", "-H "+host+" -p "+port+" -U admin -E",
			"ADDRESS", d.addr.String(), "PASSWORD", d.password, "PORT", port, "HOST", host).Replace(line))
		for i, w := range words {
			words[i] = strings.ReplaceAll(w, "+", " ")
		}
		out, err := d.command(t.Context(), words[0], words[1:]...).CombinedOutput()
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("%s: %v, want %s\n%s", line, err, want, out)
		}
	}
	var silent sync.WaitGroup
	silent.Go(func() { // nobody in the guest answers
		ask(board, "ipmitool -I lanplus AT -N 3 -R 2 -l 2 raw 0x30 2", `Unable to send RAW command \(channel=0x0 netfn=0x30 lun=0x2 cmd=0x2\)\s*$`)
	})
	ask(board, "ipmitool -I lanplus AT -l 2 raw 6 1 1 0xaa", `^ 01 aa\s*$`)
	ask(board, "ipmitool -I lan AT -l 2 raw 6 1 2 0xaa", `^ 02 aa\s*$`)
	ask(board, "ipmitool -I lanplus AT -L USER -l 2 raw 6 1 3", `^ 03\s*$`)
	// FreeIPMI's repeat is a new request, so it gets the time that a guest may take.
	ask(board, "ipmi-raw -D LAN_2_0 --session-timeout=60000 --retransmission-timeout=15000 -h ADDRESS -u admin -p PASSWORD 2 6 1 4", `rcvd: 01 00 04`)
	ask(board, "openipmicmd -k 0f+02+06+01+05 lan -U admin -P PASSWORD -p PORT HOST", `07 0[02] 01 00 05`)
	ask(board, "ipmitool -I lanplus AT raw 6 1", `^ 20 81`) // the controller itself
	ask(manager, "ipmitool -I lanplus AT -l 2 raw 6 1", `rsp=0xc2`)
	silent.Wait()
	heard := s.one(t, "basic", "until ! pidof midplane-guest >/dev/null; do sleep 0.05; done; cat /tmp/lan")
	for i, who := range []string{"4", "4", "2", "4", "4"} { // each once
		asked := regexp.MustCompile(fmt.Sprintf(`from channel 1 privilege %s session 0[12]: 06/01 \[0%d`, who, i+1))
		if n := len(asked.FindAllString(heard, -1)); n != 1 {
			t.Errorf("%s was heard %d times:\n%s", asked, n, heard)
		}
	}
}
