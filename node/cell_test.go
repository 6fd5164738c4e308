package node

import (
	"bytes"
	"path/filepath"
	"testing"
)

// A cell gives back what was stored last, in the next process too.
func TestCell(t *testing.T) {
	path := filepath.Join(t.TempDir(), ledgerFile)
	l, _ := reopened(t, path, nil)
	if got := l.watchdog().Load(); got != nil {
		t.Fatalf("a new cell has % x", got)
	}
	for i := range 300 { // past a byte of its number
		value := bytes.Repeat([]byte{byte(i)}, i%(cellValue+1))
		l.watchdog().Store(value)
		if i%7 == 0 {
			l, _ = reopened(t, path, l)
		}
		if got := l.watchdog().Load(); !bytes.Equal(got, value) {
			t.Fatalf("%d: % x, want % x", i, got, value)
		}
	}
	l.watchdog().Store(make([]byte, cellValue+1))
	if got := l.watchdog().Load(); len(got) > cellValue {
		t.Errorf("%d bytes", len(got))
	}
	if len(l.doorMemory())+ledgerMemory > ledgerCell || ledgerCell+2*cellCopy > ledgerSlot {
		t.Error("the first slot's parts overlap")
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	l.watchdog().Store([]byte{1})
	if got := l.watchdog().Load(); got != nil {
		t.Errorf("a closed ledger gives % x", got)
	}
}

// A kill in the middle of a store leaves the value before.
func TestCellHalfStored(t *testing.T) {
	path := filepath.Join(t.TempDir(), ledgerFile)
	l, _ := reopened(t, path, nil)
	defer func() { _ = l.close() }()
	for round := range byte(4) {
		l.watchdog().Store([]byte{round, 7})
		before := bytes.Clone(l.mem[ledgerCell : ledgerCell+2*cellCopy])
		l.watchdog().Store([]byte{round, 8})
		after := bytes.Clone(l.mem[ledgerCell : ledgerCell+2*cellCopy])
		for cut := range after {
			copy(l.mem[ledgerCell:], after[:cut])
			copy(l.mem[ledgerCell+cut:], before[cut:])
			got := l.watchdog().Load()
			if len(got) != 2 || got[0] != round || got[1] != 7 && got[1] != 8 {
				t.Fatalf("cut at %d: % x", cut, got)
			}
		}
		copy(l.mem[ledgerCell:], after)
	}
}
