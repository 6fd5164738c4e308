package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// upperCritical is what ipmitool event 1 makes, from blade1's controller.
var upperCritical = []byte{1, 0, 2, 0x80, 0xD1, 0x00, 0x6B, 0x82, 0x00, 4, 1, 0x30, 1, 0x59, 0xFF, 0xFF}

// scenes are the states of a shelf that the transcripts in testdata/scenes are of.
var scenes = map[string]func(*fakeShelf){
	"whole":  wholeScene,
	"broken": brokenScene,
	"down":   func(*fakeShelf) {},
}

func wholeScene(s *fakeShelf) {
	s.whole()
	s.replicas["shm2"].log.add(
		&v1.EventEntry{Committed: 1745000000e9, OriginTime: 1745000000e9, Source: 0x82, Speaker: v1.Speaker_SPEAKER_GUEST, Record: upperCritical, SelRecord: 1},
		&v1.EventEntry{Committed: 1745000001e9, Source: 0x84, Speaker: v1.Speaker_SPEAKER_CONTROLLER, Record: upperCritical},
	)
	s.nodes["blade1"].sel = [][]byte{upperCritical, append([]byte{2, 0, 0xE0, 'M', 'P'}, make([]byte, 11)...)}
	s.replicas["shm2"].raw = func(q *v1.RawRequest) (*v1.RawResponse, error) {
		switch q.Address {
		case 0x90:
			return nil, status.Error(codes.NotFound, "completion code 0xd3: destination unavailable")
		case 0x84:
			return nil, status.Error(codes.DeadlineExceeded, "completion code 0xc3: timeout while processing command")
		}
		echo := []byte{byte(q.Address), byte(q.Lun), byte(q.NetFn), byte(q.Command)}
		return &v1.RawResponse{CompletionText: "command completed normally", Data: append(echo, q.Data...)}, nil
	}
	s.nodes["blade2"].status.VmState = "none"
}

// brokenScene has a follower of a dead leader, a replica that is behind, and
// one node, whose VM has crashed.
func brokenScene(s *fakeShelf) {
	s.replica("shm1", "shm3")
	s.replica("shm2", "shm3").empty = true
	st := s.node("blade1").status
	st.VmState, st.VmLink, st.OutboxPending = "crashed", false, 7
	st.Uplinks[0].Connected, st.Uplinks[0].Error = false, "connection refused"
}

// TestScenes runs every line that begins with "$ midplane" and compares all
// that it prints: standard output, standard error, and [N] for an exit code
// that is not 0. With -update the files are written anew.
func TestScenes(t *testing.T) {
	for name, stage := range scenes {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", "scenes", name+".txt")
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := newFakeShelf(t)
			stage(s)
			got := s.replay(string(want))
			if *update {
				writeFile(t, file, got)
				return
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func (s *fakeShelf) replay(transcript string) string {
	var b strings.Builder
	for line := range strings.Lines(transcript) {
		command, ok := strings.CutPrefix(line, "$ midplane ")
		if !ok {
			continue
		}
		b.WriteString(line)
		r := s.run(strings.Fields(command)...)
		b.WriteString(r.out + r.err)
		if r.code != 0 {
			fmt.Fprintf(&b, "[%d]\n", r.code)
		}
	}
	return b.String()
}
