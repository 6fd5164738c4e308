package api

import (
	"testing"
	"time"

	"github.com/midplane-project/midplane/node/power"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

func TestAttachment(t *testing.T) {
	for _, c := range []struct {
		ask  *v1.ConsoleRequest
		want power.Mode
	}{
		{&v1.ConsoleRequest{}, power.Watch},
		{&v1.ConsoleRequest{Steal: true, Watch: true}, power.Watch},
		{&v1.ConsoleRequest{Write: true}, power.Type},
		{&v1.ConsoleRequest{Write: true, Watch: true}, power.TypeOrWatch},
		{&v1.ConsoleRequest{Write: true, Watch: true, Steal: true}, power.TakeOver},
	} {
		if got := attachment(c.ask).Mode; got != c.want {
			t.Errorf("%v: %v, want %v", c.ask, got, c.want)
		}
	}
	a := attachment(&v1.ConsoleRequest{Replay: 7, Log: true, Since: 5e9, Times: true, Leave: true})
	if a.Replay != 7 || !a.Log || !a.Since.Equal(time.Unix(5, 0)) || !a.Times || !a.Leave {
		t.Errorf("%+v", a)
	}
	if a := attachment(&v1.ConsoleRequest{Log: true}); !a.Since.IsZero() {
		t.Errorf("since %v", a.Since)
	}
}
