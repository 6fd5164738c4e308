// Package rate bounds how often something may happen.
package rate

import "time"

// Tokens let through so many a second, and so many at once after a while. The
// zero value lets through all that may be saved.
type Tokens struct {
	left float64
	at   time.Time
}

// Take reports whether one more may happen now, at so many a second; saved is of
// how many seconds they may be saved up.
func (b *Tokens) Take(now time.Time, rate, saved float64) bool {
	most := rate * saved
	if b.at.IsZero() {
		b.left = most
	} else {
		b.left = min(most, b.left+rate*now.Sub(b.at).Seconds())
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// Give gives n back.
func (b *Tokens) Give(n float64) { b.left += n }
