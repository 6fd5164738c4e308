package kv

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// What comes while a run is under way is done by one run.
func TestGroupShares(t *testing.T) {
	var g Group[int]
	var runs [][]int
	begun, goOn := make(chan struct{}), make(chan struct{})
	run := func(items []int) {
		runs = append(runs, slices.Sorted(slices.Values(items)))
		if len(runs) == 1 {
			close(begun)
			<-goOn
		}
	}
	var all sync.WaitGroup
	all.Go(func() { g.Do(0, run) })
	<-begun
	for i := range 4 {
		all.Go(func() { g.Do(i+1, run) })
	}
	for len(g.look()) < 5 {
		runtime.Gosched()
	}
	close(goOn)
	all.Wait()
	if got := fmt.Sprint(runs); got != "[[0] [1 2 3 4]]" || len(g.look()) != 0 {
		t.Errorf("runs %s, %d wait", got, len(g.look()))
	}
}

// A job that fails takes nothing of the others' with it.
func TestBatchFailsAlone(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	bad := errors.New("bad")
	put := func(key string, fail error) func(*Tx) error {
		return func(tx *Tx) error {
			b, err := tx.Bucket("b")
			if err != nil {
				return err
			}
			return errors.Join(b.Put([]byte(key), []byte("x")), fail)
		}
	}
	var errs [3]error
	db.commit([]job{{put("a", nil), &errs[0]}, {put("b", bad), &errs[1]}, {put("c", nil), &errs[2]}})
	if errs[0] != nil || !errors.Is(errs[1], bad) || errs[2] != nil {
		t.Errorf("%v", errs)
	}
	var keys []string
	err = db.View(func(tx *Tx) error {
		b, err := tx.Bucket("b")
		if err != nil {
			return err
		}
		return b.Each(nil, func(k, _ []byte) bool { keys = append(keys, string(k)); return true })
	})
	if err != nil || fmt.Sprint(keys) != "[a c]" {
		t.Errorf("%v, %v", keys, err)
	}
	if err := db.Batch(put("d", bad)); !errors.Is(err, bad) {
		t.Errorf("alone: %v", err)
	}
}
