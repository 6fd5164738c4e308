package main

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// What is piped in is typed or refused; who sits at a terminal may find that he
// only watches; a replay never types.
func TestConsoleRequest(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		o        consoleOptions
		terminal bool
		want     *v1.ConsoleRequest // nil: an error
	}{
		"piped":    {consoleOptions{tail: 9}, false, &v1.ConsoleRequest{Write: true, Replay: 9}},
		"terminal": {consoleOptions{tail: -1}, true, &v1.ConsoleRequest{Write: true, Watch: true}},
		"steal":    {consoleOptions{steal: true}, true, &v1.ConsoleRequest{Write: true, Watch: true, Steal: true}},
		"watch":    {consoleOptions{readOnly: true, times: true}, false, &v1.ConsoleRequest{Times: true}},
		"replay":   {consoleOptions{replay: true}, false, &v1.ConsoleRequest{Log: true, Leave: true}},
		"age": {
			consoleOptions{since: "1m", follow: true},
			false,
			&v1.ConsoleRequest{Log: true, Since: now.Add(-time.Minute).UnixNano()},
		},
		"time": {
			consoleOptions{since: "2026-01-01T00:00:00Z"},
			false,
			&v1.ConsoleRequest{Log: true, Leave: true, Since: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()},
		},
		"no time": {consoleOptions{since: "yesterday"}, false, nil},
	} {
		got, err := c.o.request(c.terminal, now)
		if (err != nil) != (c.want == nil) || !proto.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
}
