package state

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

func once(c *v1.Command, instance string, id uint64) *v1.Command {
	c.Instance, c.Id = []byte(instance), id
	return c
}

func TestRepeatGetsTheFirstAnswer(t *testing.T) {
	s := lab(t, Config{})
	add := func(id uint64, record byte) *v1.Answer {
		return apply(t, s, once(at(second, addSEL(0x82, guest, oemRecord(record))), "node", id))
	}
	first := add(7, 1)
	other := add(8, 1)
	for range 3 {
		if d := cmp.Diff(first, add(7, 1), protocmp.Transform()); d != "" {
			t.Errorf("repeat (-first +repeat):\n%s", d)
		}
	}
	if first.GetValue() != 1 || other.GetValue() != 2 || s.shelf("lab").log.next != 3 {
		t.Errorf("first %v, other %v, next id %d", first, other, s.shelf("lab").log.next)
	}
	clear1 := apply(t, s, once(at(second, &v1.ClearSEL{Shelf: "lab"}), "node", 9))
	clear2 := apply(t, s, once(at(second, &v1.ClearSEL{Shelf: "lab"}), "node", 9))
	diffAnswer(t, "clear again", clear2, clear1)
	if got := s.shelf("lab").sel.erased; got != 1 {
		t.Errorf("cleared %d times", got)
	}
}

func TestRefusalsAreRemembered(t *testing.T) {
	s := lab(t, Config{})
	del := func(id uint64) *v1.Answer {
		return apply(t, s, once(at(second, &v1.DeleteSEL{Shelf: "lab", Record: 1}), "node", id))
	}
	first := del(1)
	apply(t, s, at(second, addSEL(0x82, guest, oemRecord(1))))
	diffAnswer(t, "the repeat of a refused delete", del(1), first)
}

func TestLongInstanceIsRefused(t *testing.T) {
	s := lab(t, Config{})
	a := apply(t, s, once(at(second, &v1.ClearSEL{Shelf: "lab"}), string(make([]byte, maxInstanceLen+1)), 1))
	diffAnswer(t, "a long instance", a, &v1.Answer{CompletionCode: fieldRefusal})
}

// keys lists the table in its order, oldest first.
func (t *sessionTable) keys() (out []string) {
	for row := t.oldest; row != nil; row = row.next {
		out = append(out, fmt.Sprintf("%s%d", row.owner.instance, row.id))
	}
	return out
}

func TestSessionTableBounds(t *testing.T) {
	table := newSessionTable(5, 3)
	put := func(instance string, ids ...uint64) {
		for _, id := range ids {
			table.put(instance, id, "answer")
		}
	}
	put("a", 1, 2, 3)
	put("b", 1)
	put("a", 4) // over its own bound: a1 leaves
	if d := cmp.Diff([]string{"a2", "a3", "b1", "a4"}, table.keys()); d != "" {
		t.Fatalf("own bound (-want +got):\n%s", d)
	}
	put("c", 1, 2) // over the bound of all: a2 leaves
	if d := cmp.Diff([]string{"a3", "b1", "a4", "c1", "c2"}, table.keys()); d != "" {
		t.Fatalf("bound of all (-want +got):\n%s", d)
	}
	put("c", 3, 4)
	put("d", 1, 2)
	if d := cmp.Diff([]string{"c2", "c3", "c4", "d1", "d2"}, table.keys()); d != "" {
		t.Fatalf("after more (-want +got):\n%s", d)
	}
	if len(table.owners) != 2 || table.n != 5 {
		t.Errorf("%d owners, %d rows; owners without rows must go", len(table.owners), table.n)
	}
	if _, ok := table.get([]byte("a"), 4); ok {
		t.Error("a dropped row is still found")
	}
}
