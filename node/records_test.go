package node

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// On disk and in memory records behave alike.
func TestRecords(t *testing.T) {
	db, err := kv.Open(filepath.Join(t.TempDir(), "node.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, r := range []mc.Records{records{db}, &mc.MemoryRecords{}} {
		t.Run(fmt.Sprintf("%T", r), func(t *testing.T) {
			steps := []error{
				r.Put("fru/2", []byte{2}), r.Put("fru/1", []byte{1}), r.Put("frv", []byte{9}), r.Put("empty", []byte{}),
				r.PutAll(map[string][]byte{"fru/2": nil, "fru/3": {3}}), r.Delete("frv"), r.Delete("absent"),
			}
			for i, err := range steps {
				if err != nil {
					t.Errorf("step %d: %v", i, err)
				}
			}
			var all []string
			err := r.Each("fru/", func(name string, value []byte) bool {
				all = append(all, fmt.Sprintf("%s=% x", name, value))
				return r.Put(name, append(value, 0)) == nil
			})
			if got := strings.Join(all, " "); err != nil || got != "fru/1=01 fru/3=03" {
				t.Errorf("%s, %v", got, err)
			}
			for name, want := range map[string]string{"fru/1": "[1 0]", "fru/2": "[]", "frv": "[]"} {
				if v, err := r.Get(name); err != nil || fmt.Sprint(v) != want {
					t.Errorf("%s: %v, %v", name, v, err)
				}
			}
			if v, err := r.Get("empty"); v == nil || err != nil {
				t.Errorf("an empty record: %v, %v", v, err)
			}
		})
	}
}
