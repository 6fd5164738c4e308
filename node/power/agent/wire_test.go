package agent

import (
	"strings"
	"testing"
)

// Whatever the guest sends, the reader ends without a panic and yields only well formed replies.
func FuzzReader(f *testing.F) {
	f.Add("\xff{\"return\": 5}\n{\"return\": {}}\n", true)
	f.Add("{\"error\": {\"class\": \"a\", \"desc\": \"b\"}}\r\n\n{}", false)
	f.Add("\xff\xff{\"ret\xff{\"return\":1}\n", true)
	f.Fuzz(func(t *testing.T, in string, sync bool) {
		d := newReader(strings.NewReader(in))
		next := d.next
		if sync {
			next = d.nextSync
		}
		for {
			r, err := next()
			if err != nil {
				return
			}
			if r.Return == nil && r.Error == nil {
				t.Fatalf("empty reply from %q", in)
			}
			r.syncs(5)
		}
	})
}
