package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseRequest(t *testing.T) {
	for _, tt := range []struct {
		args string
		want message
		err  string
	}{
		{args: "6 1", want: message{netFn: 6, cmd: 1}},
		{args: "0x30 0x01 1 0x02 255", want: message{netFn: 0x30, cmd: 1, data: []byte{1, 2, 0xff}}},
		{args: "6", err: "want NETFN CMD"},
		{args: "6 256", err: `"256" is not a byte`},
		{args: "6 one", err: `"one" is not a byte`},
		{args: "7 1", err: "not a request's"},
		{args: "0x40 1", err: "not a request's"},
	} {
		got, err := parseRequest(strings.Fields(tt.args))
		if tt.err != "" {
			var wrong usageError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: error %v, want %q", tt.args, err, tt.err)
			}
			continue
		}
		if err != nil || got.netFn != tt.want.netFn || got.cmd != tt.want.cmd || !bytes.Equal(got.data, tt.want.data) {
			t.Errorf("%s: %+v, %v", tt.args, got, err)
		}
	}
}

func TestParseLoop(t *testing.T) {
	got, err := parseLoop(strings.Fields("--target 0x84 --for 2s --inflight 8 --mix both --tag 0xcafe --progress"))
	if err != nil {
		t.Fatal(err)
	}
	want := loopOptions{target: 0x84, duration: 2 * time.Second, inflight: 8, mix: "both", tag: 0xcafe, progress: true, drain: 30 * time.Second}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, err = parseLoop(nil); err != nil || got.target != 0x20 || got.duration != 5*time.Second || got.tag == 0 {
		t.Errorf("defaults: %+v, %v", got, err)
	}
	for _, wrong := range []string{"--mix none", "--inflight 0", "--inflight 65", "--target 300", "--tag nine", "extra", "--unknown"} {
		_, err := parseLoop(strings.Fields(wrong))
		var usage usageError
		if !errors.As(err, &usage) {
			t.Errorf("%s: %v, want a usage error", wrong, err)
		}
	}
}

func TestReport(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code int
		said string
	}{
		{nil, 0, ""},
		{flag.ErrHelp, 0, ""},
		{errFailed, 1, ""},
		{errors.New("no device"), 1, "no device"},
		{usageError{errors.New("what?")}, 2, "what?"},
	} {
		var said bytes.Buffer
		if code := report(tt.err, &said); code != tt.code || !strings.Contains(said.String(), tt.said) || (tt.said == "") != (said.Len() == 0) {
			t.Errorf("%v: exit code %d, said %q", tt.err, code, said.String())
		}
	}
}

func TestRunUnknownVerb(t *testing.T) {
	for _, args := range [][]string{nil, {"dance"}} {
		var usage usageError
		if err := run(context.Background(), args, &bytes.Buffer{}); !errors.As(err, &usage) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestPrintResponse(t *testing.T) {
	var out bytes.Buffer
	if err := printResponse(&out, message{data: []byte{0, 0x20, 0x01}}); err != nil || out.String() != "cc 00: 20 01\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	out.Reset()
	if err := printResponse(&out, message{data: []byte{0xc1}}); !errors.Is(err, errFailed) || out.String() != "cc c1:\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	if err := printResponse(&out, message{}); err == nil {
		t.Error("an empty answer passed")
	}
}

func TestSELRecord(t *testing.T) {
	got := selRecord(0x12345678, 0x0a0b0c0d)
	want := []byte{0, 0, 0xe0, 'M', 'P', 0x12, 0x34, 0x56, 0x78, 0x0a, 0x0b, 0x0c, 0x0d, 0, 0, 0}
	if !slices.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
}
