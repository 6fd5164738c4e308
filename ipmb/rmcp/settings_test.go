package rmcp

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

func TestSettings(t *testing.T) {
	for text, c := range map[string]struct {
		err   string // in what is wrong
		ids   string
		types byte
		warns string // in what the log has; empty: nothing
	}{
		`{}`:                                     {ids: "\x11\x03"},
		`{"suites":[3]}`:                         {ids: "\x03"},
		`{"suites":[17,8,12]}`:                   {ids: "\x11\x08\x0C"},
		`{"suites":[17,0]}`:                      {err: "unsafe_suites", ids: "\x11"},
		`{"suites":[1],"v15":["md2"]}`:           {err: "unsafe_suites"},
		`{"suites":[2]}`:                         {err: "unsafe_suites"},
		`{"suites":[17,17]}`:                     {err: "twice", ids: "\x11\x11"},
		`{"suites":[15]}`:                        {err: "none of"},
		`{"suites":[16]}`:                        {err: "none of"},
		`{"suites":[273]}`:                       {err: "none of"}, // 17 in a byte
		`{"suites":[-1]}`:                        {err: "none of"},
		`{"unsafe_suites":true}`:                 {ids: "\x11\x03"},
		`{"suites":[17,0],"unsafe_suites":true}`: {ids: "\x11\x00", warns: "without a password"},
		`{"suites":[2],"unsafe_suites":true}`:    {ids: "\x02", warns: "can be read"},
		`{"v15":["md5"]}`:                        {ids: "\x11\x03", types: 4, warns: "types=md5"},
		`{"v15":["md5","password"]}`:             {ids: "\x11\x03", types: 0x14, warns: `types="md5 password"`},
		`{"v15":["none"]}`:                       {err: "neither", ids: "\x11\x03"},
	} {
		var s Settings
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(); (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", text, err)
		}
		ids := ""
		for _, suite := range s.CipherSuites() {
			ids += string([]byte{suite.ID})
		}
		if ids != c.ids || s.AuthTypes() != c.types {
			t.Errorf("%s: suites % x, types %02x", text, ids, s.AuthTypes())
		}
		var log bytes.Buffer
		s.Warn(slog.New(slog.NewTextHandler(&log, nil)))
		if (log.Len() > 0) != (c.warns != "") || !strings.Contains(log.String(), c.warns) || log.Len() > 0 && !strings.Contains(log.String(), "level=WARN") {
			t.Errorf("%s: logs %q", text, log.String())
		}
	}
}

// Each suite that is built logs in, serves, and takes nothing that is signed or
// encrypted in another way, nor with another key where it has one.
func TestAllSuites(t *testing.T) {
	for _, suite := range suites {
		s := newSite(t)
		s.cfg.Suites = []mc.CipherSuite{suite}
		s.open()
		c := s.dial(suite, "admin", "secret", 0x14)
		if got := c.login(nil); got != StatusOK {
			t.Fatalf("suite %d: %02x", suite.ID, got)
		}
		c.want("served", c.do(6, 1), 0, 1)
		frame := c.frame(6, 1)
		for _, other := range suites {
			if other == suite {
				continue
			}
			a, _ := algorithmOf(other)
			c.write(newCodec(other, a, []byte("other"), nil).appendSealed(nil, PayloadIPMI, c.id, c.seq+1, frame))
		}
		if suite.Integrity != 0 {
			a, _ := algorithmOf(suite)
			c.write(newCodec(suite, a, []byte("other"), []byte("other")).appendSealed(nil, PayloadIPMI, c.id, c.seq+1, frame))
		}
		if suite.Integrity == 0 { // those of the other such suite are as good
			c.seq++
			c.receive()
			continue
		}
		c.want("the next", c.do(6, 1), 0, 2)
	}
}

// Suite 0 needs no password, but a user that there is; the others need both.
func TestSuiteNone(t *testing.T) {
	none, _ := suiteByID(0)
	s := newSite(t)
	if got := s.client(none, "admin", "", 0x14).open(); got != StatusNoCipherMatch {
		t.Errorf("switched off: %02x", got)
	}
	s.cfg.Suites = append(s.cfg.Suites, none)
	for name, want := range map[string]Status{"admin": StatusOK, "nobody": StatusIntegrity, "": StatusIntegrity} {
		if got := s.client(none, name, "", 0x14).login(nil); got != want {
			t.Errorf("%q: %02x, want %02x", name, got, want)
		}
	}
}

// A suite's limit is that of its logins.
func TestSuiteLimits(t *testing.T) {
	s := newSite(t)
	s.cfg.SuiteLimit = func(id uint8) ipmb.Privilege {
		return map[uint8]ipmb.Privilege{17: ipmb.PrivilegeAdmin, 3: ipmb.PrivilegeUser}[id]
	}
	for _, c := range []struct {
		suite int
		role  byte
		want  Status
	}{
		{17, 0x14, StatusOK},
		{3, 0x14, StatusUnauthorized},
		{3, 0x13, StatusUnauthorized},
		{3, 0x12, StatusOK},
		{8, 0x12, StatusNoCipherMatch},
	} {
		suite, _ := suiteByID(c.suite)
		if got := s.client(suite, "admin", "secret", c.role).login(nil); got != c.want {
			t.Errorf("suite %d, role %02x: %02x, want %02x", c.suite, c.role, got, c.want)
		}
	}
	r, _ := s.step(PayloadOpenRequest, openBytes(0, 1, 1, 1), nil, source, time.Now())
	if r.body[2] != byte(ipmb.PrivilegeUser) {
		t.Errorf("granted % x", r.body)
	}
}
