package logtest

import (
	"log/slog"
	"strings"
	"testing"
)

func TestBook(t *testing.T) {
	var b Book
	log := b.Logger(slog.LevelWarn)
	log.Info("not of the level")
	log.Warn("first")
	log.Error("second")
	if text := b.String(); strings.Contains(text, "not of the level") || strings.Count(text, "\n") != 2 {
		t.Errorf("%q", text)
	}
	if got := b.Take("second"); len(got) != 1 || !strings.Contains(got[0], "level=ERROR") || b.String() != "" {
		t.Errorf("%q, and left %q", got, b.String())
	}
}
