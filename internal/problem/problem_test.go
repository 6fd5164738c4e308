package problem

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	full := &Error{Code: Failed, What: "no port", Where: "127.0.0.1:7001", Why: errors.New("in use"), Do: "set ports"}
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"full", full, "no port: in use\n  where: 127.0.0.1:7001\n  to do: set ports"},
		{"what alone", Usagef("--n %d", 3), "--n 3"},
		{"wrapped", fmt.Errorf("up: %w", full), "up: no port: in use\n  where: 127.0.0.1:7001\n  to do: set ports"},
		{"several causes", &Error{What: "bad", Why: errors.Join(errors.New("a"), errors.New("b"))}, "bad: a\n  b"},
		{"not ours", errors.New("a\nb"), "a\n  b"},
		{"in the middle", errors.Join(full, errors.New("more")), "no port: in use\n  where: 127.0.0.1:7001\n  to do: set ports"},
	} {
		if got := Text(tt.err); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestHelpHasEveryCode(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(Help()), "\n")
	if len(lines) != int(Timeout)+1 || !strings.HasPrefix(strings.TrimSpace(lines[Timeout]), "6  timeout") {
		t.Errorf("%q", lines)
	}
}

func TestUnwrap(t *testing.T) {
	cause := errors.New("cause")
	if err := error(&Error{What: "x", Why: cause}); !errors.Is(err, cause) {
		t.Error("the cause is hidden")
	}
}
