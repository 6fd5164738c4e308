package rmcp

import (
	"bytes"
	"context"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// A request that waits is what its client signed, whatever comes meanwhile: the
// door reads on into the same bytes. That is for sessions that are not encrypted,
// too.
func TestRequestThatWaits(t *testing.T) {
	s := site15(t, both15)
	suite1, _ := suiteByID(1)
	s.cfg.Suites = append(s.cfg.Suites, suite1)
	begun, others := make(chan struct{}, 1), make(chan struct{}, 1)
	s.mux = ipmb.NewMux(s.Commands(), []ipmb.Command{{
		NetFn: ipmb.NetFnChassis, Cmd: 5, Privilege: ipmb.PrivilegeUser, Data: ipmb.AtLeast(1), Effect: true,
		Do: func(ctx context.Context, req *ipmb.Request) ([]byte, error) {
			begun <- struct{}{}
			select {
			case <-others:
			case <-ctx.Done():
			}
			return bytes.Clone(req.Data), nil
		},
	}})
	s.open()
	old := s.dial15(authTypeMD5, "eve", "sixteen")
	if code := old.login(4); code != 0 {
		t.Fatal(code)
	}
	plus := s.dial(suite1, "admin", "secret", 0x14)
	if got := plus.login(nil); got != StatusOK {
		t.Fatal(got)
	}
	stranger := s.dial(mc.CipherSuites[0], "", "", 0)
	want := []byte("what was signed")
	for what, do := range map[string]func() []byte{
		"IPMI 1.5": func() []byte { return old.do(0, 5, want...) },
		"suite 1":  func() []byte { return plus.do(0, 5, want...) },
	} {
		answer := make(chan []byte, 1)
		go func() {
			defer close(answer)
			answer <- do()
		}()
		next(t, begun)
		stranger.write(append([]byte{6, 0, 0xFF, classASF}, bytes.Repeat([]byte{'!'}, 200)...))
		stranger.ping()
		others <- struct{}{}
		if got := next(t, answer); !bytes.Equal(got, append([]byte{0}, want...)) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
}
