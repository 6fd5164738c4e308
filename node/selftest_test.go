package node

import (
	"bytes"
	"os"
	"testing"
)

// ruin flips a bit wherever a value stands in the node's file.
func (b *board) ruin(value string) {
	b.t.Helper()
	text, err := os.ReadFile(b.db.Path())
	if err != nil {
		b.t.Fatal(err)
	}
	file, err := os.OpenFile(b.db.Path(), os.O_WRONLY, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	defer file.Close()
	found := 0
	for at := 0; ; at++ {
		i := bytes.Index(text[at:], []byte(value))
		if i < 0 {
			break
		}
		at += i
		found++
		if _, err := file.WriteAt([]byte{value[0] ^ 1}, int64(at)); err != nil {
			b.t.Fatal(err)
		}
	}
	if found == 0 {
		b.t.Fatalf("%q is not in the file", value)
	}
}

// Each part is told from the others by what the self test says of it.
func TestSelfTestSaysWhatIsCorrupt(t *testing.T) {
	values := map[string]string{
		"sel/x": "a record of the log", "sdr/x": "a record of the repository", "fru/1": "an inventory of a FRU",
		"watchdog": "something of the controller's own", "zzz": "the last of all records",
	}
	for name, c := range map[string]struct {
		ruined []string
		want   string
	}{
		"nothing":    {nil, "00 55 00"},
		"log":        {[]string{"sel/x"}, "00 57 80"},
		"repository": {[]string{"sdr/x"}, "00 57 40"},
		"FRU":        {[]string{"fru/1"}, "00 57 20"},
		"its own":    {[]string{"watchdog"}, "00 57 04"},
		"locator":    {[]string{"blade1"}, "00 57 40"},
		"several":    {[]string{"fru/1", "sdr/x", "zzz"}, "00 57 64"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBoard(t, ProfileATCA)
			for name, value := range values {
				if err := (records{b.db}).Put(name, []byte(value)); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range c.ruined {
				value, ok := values[name]
				if !ok {
					value = name // as it stands
				}
				b.ruin(value)
			}
			if got := b.guest("06 04"); got != c.want {
				t.Errorf("self test: %s, want %s", got, c.want)
			}
		})
	}
}

// Manufacturing Test On makes the self test write; a cold reset ends that.
func TestManufacturingTest(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	for _, c := range []struct{ ask, test string }{{"06 05", "00 58 00"}, {"06 03", "00 58 00"}} {
		if got := b.guest(c.ask); got != "00" {
			t.Fatalf("%s: %s", c.ask, got)
		}
		if got := b.guest("06 04"); got != "00 55 00" {
			t.Errorf("self test: %s", got)
		}
		if v, err := (records{b.db}).Get(recordTest); v != nil || err != nil {
			t.Errorf("the test left % x: %v", v, err)
		}
	}
	db := b.db
	if err := db.Close(); err != nil { // reads fail as well then, but a write that fails is worse
		t.Fatal(err)
	}
	if got := b.guest("06 04"); got != "00 58 00" {
		t.Errorf("self test of a lost disk: %s", got)
	}
	b.tests.thorough.Store(false)
	if got := b.guest("06 04"); got != "00 57 c4" {
		t.Errorf("reading only: %s", got)
	}
}
