package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

func (n *fakeNode) InjectFault(_ context.Context, r *v1.InjectFaultRequest) (*v1.InjectFaultResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := &v1.Fault{Id: uint32(len(n.faults) + 1), Bmc: r.Bmc, Sensor: r.Sensor}
	if r.Duration > 0 {
		f.Until = longAgo.UnixNano()
	}
	n.faults = append(n.faults, f)
	return &v1.InjectFaultResponse{Fault: f}, nil
}

func (n *fakeNode) ListFaults(context.Context, *v1.ListFaultsRequest) (*v1.ListFaultsResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &v1.ListFaultsResponse{Faults: n.faults}, nil
}

func (n *fakeNode) HealFault(_ context.Context, r *v1.HealFaultRequest) (*v1.HealFaultResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := len(n.faults)
	n.faults = slices.DeleteFunc(n.faults, func(f *v1.Fault) bool { return r.Id == 0 || f.Id == r.Id })
	if r.Id != 0 && len(n.faults) == before {
		return nil, status.Errorf(codes.NotFound, "there is no fault %d", r.Id)
	}
	return &v1.HealFaultResponse{}, nil
}

func TestFaultVerbs(t *testing.T) {
	s := newFakeShelf(t)
	n := s.node("blade1")
	for _, args := range []string{
		"delay 1500ms --match 6/1 --count 3", "cc 0xc0 --match 0x0a/0x44 --for 1m", "truncate 4", "attn-stuck",
	} {
		if got := s.run(append([]string{"fault", "bmc", "blade1"}, strings.Fields(args)...)...); got.code != 0 {
			t.Errorf("%s: %+v", args, got)
		}
	}
	n.mu.Lock()
	n.faults[0].Hits = 1
	n.mu.Unlock()
	until := longAgo.Format("2006-01-02T15:04:05Z07:00")
	want := []string{
		"ID FAULT AT HITS LEFT UNTIL", "1 delay 1.5s 06/01 Get Device ID 1 2 -",
		"2 cc 0xc0 0a/44 Add SEL Entry 0 all " + until, "3 truncate 4 - 0 all -", "4 attn-stuck - 0 all -",
	}
	for i, line := range strings.Split(strings.TrimSpace(s.run("fault", "ls", "blade1").out), "\n") {
		if got := strings.Join(strings.Fields(line), " "); i >= len(want) || got != want[i] {
			t.Errorf("line %d: %q", i, got)
		}
	}
	if got := s.run("fault", "heal", "blade1", "2"); got.code != 0 || len(n.faults) != 3 {
		t.Errorf("%+v, %d left", got, len(n.faults))
	}
	if got := s.run("fault", "heal", "blade1", "9"); got.code != 3 || !strings.Contains(got.err, "there is no fault 9") {
		t.Errorf("%+v", got)
	}
	if got := s.run("fault", "heal", "blade1"); got.code != 0 || len(n.faults) != 0 {
		t.Errorf("%+v, %d left", got, len(n.faults))
	}
}

func TestFaultMistakes(t *testing.T) {
	s := newFakeShelf(t)
	n := s.node("blade1")
	for i, args := range []string{
		"sulk", "delay", "delay soon", "delay -1s", "drop 3", "cc 0", "cc 0x100", "truncate -1", "drop --match 6",
		"drop --match 7/1", "drop --match 6/0x100", "drop --for -1s", "drop --count -1",
	} {
		got := s.run(append([]string{"fault", "bmc", "blade1"}, strings.Fields(args)...)...)
		if got.code != 2 || strings.Count(got.err, "\n") > 2 || len(n.faults) != 0 {
			t.Errorf("%d %s: %+v, %v", i, args, got, n.faults)
		}
	}
	for _, args := range []string{"shelf drop", "nobody drop"} {
		got := s.run(append([]string{"fault", "bmc"}, strings.Fields(args)...)...)
		if got.code == 0 || got.err == "" {
			t.Errorf("%s: %+v", args, fmt.Sprint(got))
		}
	}
}
