package lab

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/midplane-project/midplane/deploy/lab/supervise"
	"github.com/midplane-project/midplane/internal/jsonfile"
)

// A process that was started often, and ends now to be started anew, is not
// broken; nor is one whose configuration was just mended.
func TestWhoIsBroken(t *testing.T) {
	l := &Lab{StateDir: t.TempDir()}
	if err := l.dir().Make(); err != nil {
		t.Fatal(err)
	}
	p := &supervise.Process{Name: "shm1", Hash: "2"}
	for name, c := range map[string]struct {
		record supervise.Record
		broken bool
	}{
		"replaced once more":     {supervise.Record{Process: supervise.Process{Hash: "2"}, Starts: 9, Exit: "exit status 0"}, false},
		"crashes":                {supervise.Record{Process: supervise.Process{Hash: "2"}, Starts: 9, Crashes: manyCrashes, Exit: "exit status 1"}, true},
		"crashed, not yet again": {supervise.Record{Process: supervise.Process{Hash: "2"}, Crashes: manyCrashes - 1, Exit: "exit status 1"}, false},
		"crashed as it was":      {supervise.Record{Process: supervise.Process{Hash: "1"}, Crashes: 9, Exit: "exit status 1"}, false},
	} {
		if err := jsonfile.Write(filepath.Join(l.StateDir, "run", "shm1.json"), c.record); err != nil {
			t.Fatal(err)
		}
		err := l.starts(p)
		var f finalError
		if err == nil || errors.As(err, &f) != c.broken {
			t.Errorf("%s: %v", name, err)
		}
	}
}
