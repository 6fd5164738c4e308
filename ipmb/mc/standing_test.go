package mc_test

import (
	"context"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// Whoever changes a user is told of, and what it makes of those who have logged
// in; to say again what is so already is no change.
func TestStanding(t *testing.T) {
	s := newSite(t)
	const bob = 3
	told := 0
	var by ipmb.Origin
	s.users.Changed = func(_ context.Context, id uint8, o ipmb.Origin) {
		if id != bob {
			t.Errorf("told of %d", id)
		}
		told++
		by = o
	}
	own := ipmb.Origin{Door: ipmb.DoorLAN, Channel: 1, Session: 7, Privilege: ipmb.PrivilegeAdmin}
	var before mc.Standing
	for _, c := range []struct {
		what, request string
		changes       bool
		limit         ipmb.Privilege // 0: he may not log in
		anew          bool           // by another name or password
	}{
		{"name", "06 45 03" + text("bob", 16), true, 0, true},
		{"password", "06 47 03 02" + text("builder", 16), true, 0, true},
		{"access", "06 43 91 03 04", true, 0, false},
		{"enabled", "06 47 03 01", true, ipmb.PrivilegeAdmin, false},
		{"enabled again", "06 47 03 01", false, ipmb.PrivilegeAdmin, false},
		{"the same name", "06 45 03" + text("bob", 16), false, ipmb.PrivilegeAdmin, false},
		{"the same password", "06 47 03 02" + text("builder", 16), false, ipmb.PrivilegeAdmin, false},
		{"which is tested", "06 47 03 03" + text("builder", 16), false, ipmb.PrivilegeAdmin, false},
		{"the same in the long form", "06 47 83 02" + text("builder", 20), true, ipmb.PrivilegeAdmin, true},
		{"another one", "06 47 03 02" + text("plumber", 16), true, ipmb.PrivilegeAdmin, true},
		{"another name", "06 45 03" + text("rob", 16), true, ipmb.PrivilegeAdmin, true},
		{"a lower limit", "06 43 91 03 02", true, ipmb.PrivilegeUser, false},
		{"no messaging", "06 43 81 03 02", true, 0, false},
		{"again", "06 43 91 03 02", true, ipmb.PrivilegeUser, false},
		{"no access", "06 43 01 03 0F", true, 0, false},
		{"again", "06 43 01 03 03", true, ipmb.PrivilegeOperator, false},
		{"serial over LAN", "06 4C 01 03 02000000", true, ipmb.PrivilegeOperator, false},
		{"disabled", "06 47 03 00", true, 0, false},
		{"enabled", "06 47 03 01", true, ipmb.PrivilegeOperator, false},
		{"removed", "06 45 03" + zeros(16), true, 0, true},
	} {
		told = 0
		run(t, s, own, []exchange{{c.what, c.request, "00"}})
		now, may := s.users.Standing(1, bob)
		if (told == 1) != c.changes || may != (c.limit != 0) || may && now.Limit != c.limit || (now.Stamp != before.Stamp) != c.anew {
			t.Errorf("%s: told %d times; %+v after %+v, %v", c.what, told, now, before, may)
		}
		before = now
	}
	if by != own {
		t.Errorf("by %+v", by)
	}
	s.start(t)
	if now, _ := s.users.Standing(1, bob); now.Stamp != before.Stamp {
		t.Error("a restart makes another user of him")
	}
	if _, may := s.users.Standing(1, mc.MaxUsers+1); may {
		t.Error("there is no such user")
	}
}
