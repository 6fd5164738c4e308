package rate

import (
	"testing"
	"time"
)

func TestTokens(t *testing.T) {
	var b Tokens
	now := time.Now()
	take := func() (n int) {
		for b.Take(now, 10, 2) {
			n++
		}
		return n
	}
	for _, c := range []struct {
		pause time.Duration
		back  float64
		want  int
	}{{0, 0, 20}, {0, 0, 0}, {time.Second, 0, 10}, {time.Hour, 0, 20}, {0, 3, 3}, {-time.Second, 0, 0}, {2 * time.Second, 0, 10}} {
		now = now.Add(c.pause)
		b.Give(c.back)
		if got := take(); got != c.want {
			t.Errorf("%d after %v and %v back, want %d", got, c.pause, c.back, c.want)
		}
	}
}
