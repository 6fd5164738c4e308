package thermal

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " S 1 2 3 4 5 6 7 8 9 10 1200 34 0 0 20 0 5 0 99 1 2"
	for text, want := range map[string]uint64{
		"42 (qemu)" + rest: 1234, "42 (a) b (c)" + rest: 1234,
		"": 0, "42 (qemu)": 0, "42 (qemu) S 1 2 3 4 5 6 7 8 9 10 x 34": 0, "42 (qemu) S 1 2 3 4 5 6 7 8 9 10 12": 0,
	} {
		if got, ok := parseStat([]byte(text)); got != want || ok != (want > 0) {
			t.Errorf("%q: %d, %v", text, got, ok)
		}
	}
}

// TestMeter measures this very process while it computes.
func TestMeter(t *testing.T) {
	var m Meter
	began := time.Now()
	if _, ok, err := m.Read(os.Getpid(), 1, began); ok || err != nil {
		t.Fatal("the first reading", ok, err)
	}
	used, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	n, now := 0, used
	for ; now < used+30*time.Millisecond; n++ {
		if now, err = cpuTime(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	// It took 30 ms at least: as a share of 60 ms, half of one processor or more.
	share, ok, err := m.Read(os.Getpid(), 1, began.Add(60*time.Millisecond))
	if !ok || err != nil || share < 0.5 {
		t.Errorf("share %v, %v, %v", share, ok, err)
	}
	if _, ok, err := m.Read(os.Getppid(), 1, began.Add(time.Second)); ok || err != nil {
		t.Errorf("another process: %v, %v", ok, err)
	}
	if _, ok, err := m.Read(1<<30, 1, time.Now()); ok || err == nil {
		t.Errorf("no process: %v, %v", ok, err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (qemu) S 1 2 3 4 5 6 7 8 9 10 1200 34 0"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if n, ok := parseStat(text); !ok && n != 0 {
			t.Errorf("%d without success", n)
		}
	})
}
