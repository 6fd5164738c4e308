package state

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The ring behaves as a slice does.
func TestDequeModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d deque[int]
		var model []int
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				v := rapid.Int().Draw(t, "v")
				d.push(v)
				model = append(model, v)
			},
			"pop": func(t *rapid.T) {
				if len(model) == 0 {
					t.Skip()
				}
				if got := d.pop(); got != model[0] {
					t.Fatalf("pop %d, want %d", got, model[0])
				}
				model = model[1:]
			},
			"remove": func(t *rapid.T) {
				if len(model) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(model)-1).Draw(t, "i")
				d.remove(i)
				model = slices.Delete(slices.Clone(model), i, i+1)
			},
			"": func(t *rapid.T) {
				if !slices.Equal(d.items(), model) && len(model) > 0 || d.len() != len(model) {
					t.Fatalf("ring %v, model %v", d.items(), model)
				}
			},
		})
	})
}
