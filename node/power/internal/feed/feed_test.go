package feed

import (
	"slices"
	"testing"
)

func drain[T any](s *Subscription[T]) []T {
	var got []T
	for v := range s.C() {
		got = append(got, v)
	}
	return got
}

func TestFullQueueDropsOldest(t *testing.T) {
	var f Feed[int]
	slow, wide := f.Subscribe(2), f.Subscribe(8)
	for i := range 5 {
		f.Publish(i)
	}
	f.Close()
	if got := drain(slow); !slices.Equal(got, []int{3, 4}) {
		t.Errorf("slow reader got %v, want the newest two", got)
	}
	if slow.Missed() != 3 {
		t.Errorf("Missed = %d, want 3", slow.Missed())
	}
	if got := drain(wide); !slices.Equal(got, []int{0, 1, 2, 3, 4}) || wide.Missed() != 0 {
		t.Errorf("wide reader got %v, missed %d", got, wide.Missed())
	}
}

func TestCancelTwiceAndSubscribeAfterClose(t *testing.T) {
	var f Feed[string]
	s := f.Subscribe(0)
	f.Publish("kept")
	s.Cancel()
	s.Cancel()
	f.Publish("unseen")
	if got := drain(s); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("got %q", got)
	}
	f.Close()
	s.Cancel()
	if got := drain(f.Subscribe(1)); got != nil {
		t.Errorf("subscription of a closed feed delivered %q", got)
	}
}
