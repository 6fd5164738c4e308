package yamlfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type sample struct {
	List []struct {
		Name string `yaml:"name"`
	} `yaml:"list"`
}

func TestDecode(t *testing.T) {
	var into sample
	f, err := Decode("f", []byte("list:\n  - name: a\n  - {}\n"), &into)
	if err != nil || len(into.List) != 2 || into.List[0].Name != "a" {
		t.Fatalf("%+v, %v", into, err)
	}
	if err := f.Locate(); err != nil {
		t.Error(err)
	}
	err = f.Locate(Mistake{"$.list[0].name", "bad"}, Mistake{"$.list[1].name", "missing"}, Mistake{"$.other", "gone"})
	if want := "f:2:11: list[0].name: bad\nf:3:5: list[1].name: missing\nf:1:1: other: gone"; err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"list: [": "f:1:", "lists: []": "f:1:1: unknown field", "list: 3": "f:1:7: ", strings.Repeat(" ", MaxLen+1): "f: larger than",
	} {
		var mistake *Error
		if _, err := Decode("f", []byte(text), new(sample)); !errors.As(err, &mistake) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.20q: %v, want %s", text, err, want)
		}
	}
	if _, err := Decode("f", []byte("# nothing\n"), new(sample)); !errors.Is(err, io.EOF) {
		t.Errorf("an empty file: %v", err)
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, make([]byte, MaxLen+7), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := Read(path); err != nil || len(b) != MaxLen+1 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, err := Read(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
