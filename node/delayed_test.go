package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/internal/link"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/template"
	"github.com/midplane-project/midplane/node/vm/vmtest"
	midplanev1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

const (
	ssifPatience = 4 * time.Millisecond // QEMU and Linux: facts of QEMU's smbus-ipmi
	slowFsync    = 20 * time.Millisecond
)

// ssifGuest reads the answer when its patience is over, as Linux does: what is
// in the buffer then may be the answer before.
type ssifGuest struct {
	*vmtest.Guest
	buffer string
	stale  []string // requests whose answer was an older one
}

func (g *ssifGuest) ask(t *testing.T, request string) string {
	t.Helper()
	raw := unhex(t, request)
	code, data, err := g.Do(t.Context(), ipmb.NetFn(raw[0]), 0, ipmb.Cmd(raw[1]), raw[2:])
	if err != nil {
		t.Fatal(err)
	}
	if code == ipmb.ErrTimeout {
		g.stale = append(g.stale, request)
		return g.buffer
	}
	g.buffer = fmt.Sprintf("% x", append([]byte{byte(code)}, data...))
	return g.buffer
}

// slow is a node whose disk is slow, and perhaps broken.
type slow struct {
	*Node
	broken atomic.Pointer[error]
}

func (s *slow) sync() error {
	time.Sleep(slowFsync)
	if err := s.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// slowNode runs a whole node whose disk is slow, in virtual time, with a guest.
func slowNode(t *testing.T, kind string, f func(t *testing.T, n *slow, g *ssifGuest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{
			Interface: kind, Dir: t.TempDir(), Shelf: "lab", Slot: 1, Name: "blade1", Profile: ProfileATCA,
			PKI: "unused", Replicas: []Replica{{"shm1", "nowhere"}},
		}
		n := &slow{}
		var err error
		n.Node, err = New(cfg, Options{
			Log:        slog.New(slog.DiscardHandler),
			Dial:       func(context.Context, string) (link.Conn, error) { return nil, errors.New("no way there") },
			beforeSync: n.sync,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 2)
		go func() { done <- n.Run(ctx) }()
		mine, qemu := net.Pipe()
		go func() { done <- n.door.ServeConn(ctx, mine) }()
		g := &ssifGuest{Guest: vmtest.New(vmtest.Options{Timeout: ssifPatience})}
		if err := g.Connect(qemu); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // what the connection brought is on disk
		f(t, n, g)
		g.Close()
		stop()
		if err := errors.Join(<-done, <-done, n.Close()); err != nil {
			t.Error(err)
		}
	})
}

// changing are requests of a guest that change what is kept, with the answers.
var changing = []row{
	{byGuest, "0a 44 00 00 f0 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d", "00 xx 00"},
	{byGuest, "06 2e 0f", "00"},
	{byGuest, "04 02 41 04 02 30 01 57 ff ff", "00"},
	{byGuest, "0a 12 00 f0 07 c0 de", "00 02"},
	{byGuest, "0a 24 00 00 51 c0 04 00 31 5a 00", "00 xx 40"},
	{byGuest, "0a 49 00 00 00 60", "00"},
	{byGuest, "0a 29 00 00 00 60", "00"},
	{byGuest, "00 06 02", "00 07"},
	{byGuest, "00 08 03 1f", "00"},
	{byGuest, "0a 5d c4 ff", "00"},
}

// reading are requests for it.
var reading = []string{
	"06 2f", "0a 11 00 f0 07 02", "00 09 03 00 00", "0a 5c", "0a 20", "0a 23 00 00 ff ff 00 ff",
	"0a 40", "0a 43 00 00 00 00 00 ff", "0a 43 00 00 ff ff 00 ff",
}

// TestSSIFIsAnsweredInTime: with an fsync of 20 ms, all that an SSIF guest asks
// is answered before it reads, and a SIGKILL right after it loses nothing.
func TestSSIFIsAnsweredInTime(t *testing.T) {
	slowNode(t, "ssif", func(t *testing.T, n *slow, g *ssifGuest) {
		start := time.Now()
		for _, r := range changing {
			if got := g.ask(t, r.ask); !matches(got, r.want) {
				t.Errorf("%s: %s, want %s", r.ask, got, r.want)
			}
		}
		for _, r := range allRows() {
			if r.by == byGuest && g.ask(t, r.ask) == "" {
				t.Errorf("%s: no answer at all", r.ask)
			}
		}
		for _, r := range changing {
			g.ask(t, r.ask)
		}
		took := time.Since(start)
		if len(g.stale) > 0 || g.Dropped() > 0 {
			t.Errorf("stale after: %q; %d answers were late", g.stale, g.Dropped())
		}
		if took >= slowFsync {
			t.Errorf("the answers took %v", took)
		}
		synctest.Wait() // the disk is busy still
		killed := newKilled(t, n.cfg.Dir)
		for _, ask := range reading {
			want := g.ask(t, ask)
			if got := killed.guest(ask); got != want || want[:2] != "00" {
				t.Errorf("after SIGKILL %s: %s, was %s", ask, got, want)
			}
		}
	})
}

// newKilled gives a board what a node that is killed now leaves.
func newKilled(t *testing.T, dir string) *board {
	t.Helper()
	b := newBoard(t, ProfileATCA)
	b.stop()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || !slices.ContainsFunc(names, func(s string) bool { return strings.Contains(s, ".journal-") }) {
		t.Fatalf("there is no journal: %q, %v", names, err)
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(b.dir, filepath.Base(name)), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b.template = template.BuiltIn()
	b.start()
	return b
}

// TestOthersWaitForTheDisk: on KCS and BT an answer is on disk, which this
// guest would be too impatient for.
func TestOthersWaitForTheDisk(t *testing.T) {
	for _, kind := range []string{"kcs", "bt", "pci-kcs", "pci-bt"} {
		t.Run(kind, func(t *testing.T) {
			slowNode(t, kind, func(t *testing.T, n *slow, g *ssifGuest) {
				for _, r := range changing {
					g.ask(t, r.ask)
					time.Sleep(time.Second)
				}
				if len(g.stale) != len(changing) {
					t.Errorf("answered before the disk had it, but for %q", g.stale)
				}
				if left, _ := filepath.Glob(filepath.Join(n.cfg.Dir, "*journal*")); len(left) > 0 {
					t.Errorf("journals %q", left)
				}
			})
		})
	}
}

// TestOnlyTheGuestIsInAHurry: who asks an SSIF node by another door is answered
// when the disk has it.
func TestOnlyTheGuestIsInAHurry(t *testing.T) {
	slowNode(t, "ssif", func(t *testing.T, n *slow, _ *ssifGuest) {
		for _, c := range []struct {
			door    ipmb.Door
			request string
			want    time.Duration
		}{
			{ipmb.DoorSystem, "0a 49 00 00 00 60", 0},
			{ipmb.DoorSystem, "0a 48", 0},
			{ipmb.DoorAPI, "0a 49 00 00 00 60", slowFsync},
			{ipmb.DoorAPI, "0a 48", 0},
			{ipmb.DoorIPMB, "04 00 20 00", slowFsync},
		} {
			raw, start := unhex(t, c.request), time.Now()
			r := n.ServeIPMI(t.Context(), &ipmb.Request{
				NetFn: ipmb.NetFn(raw[0]), Cmd: ipmb.Cmd(raw[1]), Data: raw[2:],
				Origin: ipmb.Origin{Door: c.door, Privilege: ipmb.PrivilegeAdmin},
			})
			took := time.Since(start)
			late := took > c.want && !(c.want > 0 && took == 2*c.want) // a request may be two transactions
			if r.Code != ipmb.OK || took < c.want || late {
				t.Errorf("%v, %s: %v after %v, want %v", c.door, c.request, r.Code, took, c.want)
			}
			time.Sleep(time.Second)
		}
		start := time.Now()
		if err := n.Power(t.Context(), midplanev1.PowerAction_POWER_ACTION_OFF); err != nil || time.Since(start) < slowFsync {
			t.Errorf("power off: %v after %v", err, time.Since(start))
		}
	})
}

// TestSSIFDiskFails: what was answered stays, no more is taken, and the self
// test tells, until the disk is well again.
func TestSSIFDiskFails(t *testing.T) {
	slowNode(t, "ssif", func(t *testing.T, n *slow, g *ssifGuest) {
		add, selfTest, size := "0a 44 00 00 f0 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d", "06 04", "0a 40"
		disk := errors.New("disk is gone")
		n.broken.Store(&disk)
		if got := g.ask(t, add); !matches(got, "00 xx 00") {
			t.Errorf("before anybody knows: %s", got)
		}
		log := g.ask(t, size)
		time.Sleep(time.Second / 2)
		for ask, want := range map[string]string{add: "ff", selfTest: "00 57 80", size: log} {
			if got := g.ask(t, ask); got != want {
				t.Errorf("%s: %s, want %s", ask, got, want)
			}
		}
		n.broken.Store(nil)
		time.Sleep(2 * time.Second)
		for ask, want := range map[string]string{add: "00 xx 00", selfTest: "00 55 00"} {
			if got := g.ask(t, ask); !matches(got, want) {
				t.Errorf("%s: %s, want %s", ask, got, want)
			}
		}
		if len(g.stale) > 0 {
			t.Errorf("stale after: %q", g.stale)
		}
	})
}
