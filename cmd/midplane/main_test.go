package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMain is the command itself when transcripts call it by its name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "midplane" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}
