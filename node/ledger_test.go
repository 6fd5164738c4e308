package node

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func reopened(t fataler, path string, l *ledger) (*ledger, []record) {
	t.Helper()
	if l != nil {
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
	}
	l, found, err := openLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	return l, found
}

// The ledger gives back what was not dropped, in order, with its marks.
func TestLedgerModel(t *testing.T) {
	path := filepath.Join(t.TempDir(), ledgerFile)
	rapid.Check(t, func(t *rapid.T) {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		l, found := reopened(t, path, nil)
		defer l.close()
		if len(found) != 0 {
			t.Fatalf("a new ledger has %v", found)
		}
		var model []record
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				r := record{
					kind:    recordKind(rapid.IntRange(int(recordLetter), int(recordWarning)).Draw(t, "kind")),
					payload: rapid.SliceOfN(rapid.Byte(), 0, ledgerPayload+1).Draw(t, "payload"),
				}
				r.slot = l.add(r.kind, r.payload)
				if kept := r.slot != noSlot; kept != (len(r.payload) <= ledgerPayload) {
					t.Fatalf("%d bytes: slot %d", len(r.payload), r.slot)
				} else if kept {
					model = append(model, r)
				}
			},
			"mark": func(t *rapid.T) {
				if len(model) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(model)-1).Draw(t, "i")
				l.mark(model[i].slot)
				model[i].marked = true
			},
			"drop": func(t *rapid.T) {
				if len(model) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(model)-1).Draw(t, "i")
				l.drop(model[i].slot)
				l.drop(model[i].slot) // twice does no harm
				l.drop(noSlot)
				model = slices.Delete(model, i, i+1)
			},
			"restart": func(t *rapid.T) {
				l, found = reopened(t, path, l)
				if !slices.EqualFunc(found, model, func(a, b record) bool {
					return a.kind == b.kind && a.slot == b.slot && a.marked == b.marked && bytes.Equal(a.payload, b.payload)
				}) {
					t.Fatalf("found %v, want %v", found, model)
				}
			},
		})
	})
}

func TestLedgerIsFull(t *testing.T) {
	l, _ := reopened(t, filepath.Join(t.TempDir(), ledgerFile), nil)
	for i := range ledgerSlots {
		if l.add(recordLetter, []byte{byte(i)}) == noSlot {
			t.Fatalf("full after %d", i)
		}
	}
	if slot := l.add(recordLetter, nil); slot != noSlot {
		t.Errorf("one more in %d", slot)
	}
	l.drop(7)
	if slot := l.add(recordLetter, nil); slot != 7 {
		t.Errorf("after a drop in %d", slot)
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	if slot := l.add(recordLetter, nil); slot != noSlot {
		t.Errorf("after close in %d", slot)
	}
	l.mark(7)
	l.drop(7)
}

// What is no ledger, or was cut short, begins anew; a spoilt record is left out.
func TestLedgerSpoilt(t *testing.T) {
	path := filepath.Join(t.TempDir(), ledgerFile)
	for name, text := range map[string][]byte{
		"empty": nil, "text": []byte("hello"), "as long": bytes.Repeat([]byte{0xA5}, ledgerSlot*(1+ledgerSlots)),
	} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		l, found := reopened(t, path, nil)
		if len(found) != 0 {
			t.Errorf("%s: found %v", name, found)
		}
		l.add(recordLetter, []byte("one"))
		second := l.add(recordLetter, []byte("two"))
		l.at(second)[ledgerHeader]++
		l, found = reopened(t, path, l)
		if len(found) != 1 || string(found[0].payload) != "one" {
			t.Errorf("%s: then %v", name, found)
		}
		_ = l.close()
	}
	if _, _, err := openLedger(t.TempDir()); err == nil {
		t.Error("opened a directory")
	}
}
