//go:build e2e

package e2e_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/internal/ptytest"
)

// TestUsers makes users with midplane user and logs in as them with ipmitool.
func TestUsers(t *testing.T) {
	s := upLAN(t)
	const as = `as() { u=$1 p=$2; shift 2; IPMITOOL_PASSWORD=$p ${IPMITOOL/-U admin/-U $u} "$@" 2>&1; }
		no() { ! as "$@" -N 1 -R 1 mc guid; }; `
	for _, target := range []string{"shelf", "blade1"} {
		for _, one := range []struct{ line, want string }{
			{`echo 'Horse battery' | midplane user add $T bob --privilege operator`, `bob +yes +operator +no`},
			{`as bob 'Horse battery' -L operator user summary 1`, `Enabled User Count +: 2`},
			{`no bob wrong -L operator`, `Unable to establish`},
			{`no bob 'Horse battery' -L administrator`, `Unable to establish`},
			{`midplane user set $T bob --name robert --privilege admin --sol`, `robert +yes +admin +yes`},
			{`as robert 'Horse battery' mc guid`, `System GUID`},
			{`p=$(midplane user password $T robert --generate 2>&1 >/dev/null | cut -d' ' -f4); as robert "$p" mc guid`, `System GUID`},
			{`midplane user disable $T robert; no robert 'Horse battery'`, `Unable to establish`},
			{`midplane user rm $T robert; midplane user list $T`, `removed\nID.*\n2 +admin +yes +admin +(yes|no)\n$`},
			{`midplane user password $T admin --generate; midplane ipmi $T mc guid`, `System GUID`},
		} {
			line := `T=` + target + `; eval "$(midplane env $T)"; ` + as + one.line
			if out := s.sh(t, line); !regexp.MustCompile(one.want).MatchString(out) {
				t.Errorf("%s: %s: want %s, got\n%s", target, one.line, one.want, out)
			}
		}
	}
	for _, target := range []string{"shelf", "blade1"} {
		s.endsWithItsUser(t, target)
	}
	log := s.do(t, "logs")
	if n := len(regexp.MustCompile(`msg="user (added|changed|removed)".*by=admin/`).FindAllString(log, -1)); n < 12 {
		t.Errorf("%d lines tell of changes, want 12", n)
	}
	if regexp.MustCompile(`Horse`).MatchString(log) {
		t.Error("a password is in the log")
	}
}

// endsWithItsUser disables a user from the administrator's session while one of
// the user's own is open.
func (s *lanShelf) endsWithItsUser(t *testing.T, target string) {
	t.Helper()
	const at = `export MIDPLANE_SHELF=%s PATH=%s:$PATH; eval "$(midplane env %s)"; `
	env := fmt.Sprintf(at, s.Name, filepath.Dir(bin), target)
	s.sh(t, env+`echo 'Horse battery' | midplane user add `+target+` carol --privilege operator`)
	carol := ptytest.Start(t, "bash", "-c", env+`IPMITOOL_PASSWORD='Horse battery' exec ${IPMITOOL/-U admin/-U carol} -N 2 -R 3 -L operator shell`)
	carol.Sees("ipmitool> ")
	carol.Types("mc guid\n")
	carol.Sees("System GUID")
	carol.Sees("ipmitool> ")
	s.sh(t, env+`$IPMITOOL user disable 3`)
	carol.Types("mc guid\n")
	if shown := carol.Sees("ipmitool> "); strings.Contains(shown, "System GUID") {
		t.Errorf("%s: a disabled user's session goes on:\n%s", target, shown)
	}
	s.sh(t, env+`midplane user enable `+target+` carol; IPMITOOL_PASSWORD='Horse battery' ${IPMITOOL/-U admin/-U carol} -L operator mc guid; midplane user rm `+target+` carol`)
}
