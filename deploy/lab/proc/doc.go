// Package proc knows processes again: by pid, start time and boot, held by a
// pidfd, so that no signal ever reaches a stranger that has got an old pid.
package proc
