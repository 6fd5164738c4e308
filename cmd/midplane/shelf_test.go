package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/shelf"
)

// What is wrong in a replica's file is told with the file and the key.
func TestShelfConfigNamesFileAndKey(t *testing.T) {
	for lan, words := range map[string]string{
		`"suites": [0]`:            "lan: suites: 0 leaves messages unsigned or readable",
		`"suites": [4]`:            "lan: suites: 4 is none of",
		`"v15": ["md2"]`:           `lan: v15: "md2" is neither md5 nor password`,
		`"unsafe_suites": "maybe"`: "unsafe_suites",
		`"v16": []`:                `"v16"`,
	} {
		path := filepath.Join(t.TempDir(), "shm1.json")
		text := `{"name": "shm1", "dir": "d", "listen": "127.0.0.1:1", "expect": 1, "timing": "lan", "pki": "p", "cluster": "c",
			"shelves": [{"name": "lab", "lan": {"listen": "unix:/x", "key": "k", "password": "p", ` + lan + `}}]}`
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := shelfConfig(new(app).shelfVerb(), &daemonFlags{config: path}, shelf.Config{}, nil)
		if err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", lan, err)
		}
	}
}
