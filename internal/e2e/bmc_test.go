//go:build e2e

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestBMC plays testdata/transcripts, half of them in a guest on KCS and half in
// one on BT: what stock tools say to the controller, and what others see of it.
// With MIDPLANE_EVERYWHERE each is played in both, as make soak does, since a
// guest's tools take four minutes of a processor. A transcript clears what it
// needs empty and sets what it reads, so each runs alone, in any order, and on a
// shelf that has been used.
func TestBMC(t *testing.T) {
	paths, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no transcripts", err)
	}
	all := make(map[string]transcript)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		if all[name], err = parseTranscript(string(text)); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	s := blades.up(t)
	t.Run("in", func(t *testing.T) { // ends before the kernels' logs are read
		for side, vars := range [][]string{
			{"NODE=blade1", "ADDR=0x82", "IF=KCS"},
			{"NODE=blade2", "ADDR=0x84", "IF=BT"},
		} {
			node := sides[side].name
			t.Run(node, func(t *testing.T) {
				t.Parallel()
				for i, path := range paths {
					if i%len(sides) != side && os.Getenv("MIDPLANE_EVERYWHERE") == "" {
						continue
					}
					name := strings.TrimSuffix(filepath.Base(path), ".txt")
					t.Run(name, func(t *testing.T) { s.play(t, node, name, all[name], vars) })
				}
			})
		}
	})
	for _, node := range []string{"blade1", "blade2"} {
		s.kernelLog(t, node)
	}
}

// enter is what a batch in a guest begins with. ipmitool reads a list of all
// vendors at each start, 2 s of TCG's, unless the home directory has a shorter
// one. Its first run takes the events that have waited for a reader, which it
// takes for the answer to its first request.
const enter = `export HOME=/tmp/home %s
mkdir -p /tmp/%[2]s $HOME/.local/usr/share/misc && cd /tmp/%[2]s
printf '343\n  Intel Corporation\n' >$HOME/.local/usr/share/misc/enterprise-numbers.txt
ipmitool raw 6 1`

// play runs a transcript: what is for the guest in as few calls as can be.
func (s *shelf) play(t *testing.T, node, name string, tr transcript, vars []string) {
	t.Helper()
	for steps := tr; len(steps) > 0; {
		if steps[0].host {
			s.playHost(t, name, steps[0], vars)
			steps = steps[1:]
			continue
		}
		n := slices.IndexFunc(steps, func(st step) bool { return st.host })
		if n < 0 {
			n = len(steps)
		}
		cmds := []string{fmt.Sprintf(enter, strings.Join(vars, " "), name)}
		for _, st := range steps[:n] {
			cmds = append(cmds, st.cmd)
		}
		for i, r := range s.guest(t, node, cmds...)[1:] {
			steps[i].check(t, name, r.code, r.out)
		}
		steps = steps[n:]
	}
}

// playHost runs a verb of midplane.
func (s *shelf) playHost(t *testing.T, name string, st step, vars []string) {
	t.Helper()
	line := os.Expand(st.cmd, func(v string) string {
		i := slices.IndexFunc(vars, func(one string) bool { return strings.HasPrefix(one, v+"=") })
		if i < 0 {
			t.Fatalf("%s.txt:%d: there is no $%s", name, st.line, v)
		}
		return vars[i][len(v)+1:]
	})
	if process, ok := strings.CutPrefix(line, "kill "); ok {
		t.Cleanup(func() { s.atEnd("start", process) })
	}
	r := midplane(t, append([]string{"--shelf", s.Name}, strings.Fields(line)...)...)
	st.check(t, name, r.code, r.out+r.err)
}
