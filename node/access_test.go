package node

import (
	"bytes"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/ipmb/redact"
)

// accessRows are exchanges with what lies in access.go; they follow commandRows.
var accessRows = []row{
	{byGuest, "06 09 0f", "00 55 xx xx xx xx xx xx xx xx xx xx xx xx xx xx xx xx"},
	{byGuest, "06 09 02", "cc"},
	{byGuest, "06 0a 0f 0c 00", "00 e1 ff fc ff f9 ff ff ff ff ff ff ff ff ff ff ff"},
	{byGuest, "06 0b 0f 00 00 02", "00 00 02 11 c0 ff ff ff"},
	{byGuest, "06 0c 0f 0c 00", "00 1e 00 03 00 06 00 00 00 00 00 00 00 00 00 00 00"},
	{byGuest, "06 0d 0f 00 00 02", "00 3f 00 00 00"},
	{byGuest, "06 60 0f 0c 00 0e 00 03 00 06 00 00 00 00 00 00 00 00 00 00 00", "00"},
	{byGuest, "0c 04 01 00", "d6"},
	{byGuest, "06 60 00 0c 00 0e 00 03 00 06 00 00 00 00 00 00 00 00 00 00 00", "d4"}, // the bus is the shelf's
	{byGuest, "06 61 0f 0c 00", "00 0e 00 03 00 06 00 00 00 00 00 00 00 00 00 00 00"},
	{byGuest, "06 60 0f 0c 00 1e 00 03 00 06 00 00 00 00 00 00 00 00 00 00 00", "00"},
	{byGuest, "06 62 0f 00 00 02 3e 00 00 00", "00"},
	{byGuest, "00 02 00", "d6"},
	{byGuest, "06 63 0f 00 00 02", "00 3e 00 00 00"},
	{byGuest, "06 62 0f 00 00 02 3f 00 00 00", "00"},
	{byGuest, "06 64 0f 06 00", "c9"},
	{byGuest, "06 42 01", "00 01 04 01 80 f2 1b 00 00 00"},
	{byGuest, "06 41 01 40", "00 20 04"},
	{byGuest, "06 40 01 42 44", "00"},
	{byGuest, "06 41 01 40", "00 02 04"},
	{byGuest, "06 40 00 42 44", "82"},
	{byGuest, "06 45 02 62 6f 62 00 00 00 00 00 00 00 00 00 00 00 00 00", "00"},
	{byGuest, "06 46 02", "00 62 6f 62 00 00 00 00 00 00 00 00 00 00 00 00 00"},
	{byGuest, "06 47 02 02 73 65 63 72 65 74 00 00 00 00 00 00 00 00 00 00", "00"},
	{byGuest, "06 47 02 03 73 65 63 72 65 73 00 00 00 00 00 00 00 00 00 00", "80"},
	{byGuest, "06 47 02 01", "00"},
	{byGuest, "06 43 91 02 04", "00"},
	{byGuest, "06 44 01 02", "00 10 41 01 14"},
	{byGuest, "06 44 02 02", "cc"},
	{byGuest, "06 4c 01 02 02 00 00 00", "00"},
	{byGuest, "06 4d 01 02", "00 02 00 00 00"},
	{byGuest, "06 48 01 01 c0 00 00 00", "81"}, // there is no console
	{byGuest, "06 49 01 01 00 00 00 00", "80"},
	{byGuest, "06 4a 01", "00 01 00 00"},
	{byGuest, "06 4b 01 01", "00 00 00 00 00 01 00 00 00 00 00 00 00"},
	{byGuest, "06 4e 01", "00 03 00 3f 00 00 00 00 00"},
	{byGuest, "06 4f 01 01", "00 10"},
	{byGuest, "06 55 01 01 01", "83"},
	{byGuest, "06 54 01 00 80", "00 01 c0 11 03 44 81 c0 03 01 41 81"},
	{byGuest, "06 54 0e 00 80", "cc"}, // ciphers of the system interface
	{byGuest, "06 56 01 00 01", "00 02 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"},
	{byGuest, "06 58 04 00 00 02 6f 73", "00"},
	{byGuest, "06 59 00 04 00 00", "00 11 00 00 02 6f 73 00 00 00 00 00 00 00 00 00 00 00 00"},
	{byGuest, "06 59 00 02 00 00", "00 11 00 00 06 62 6c 61 64 65 31 00 00 00 00 00 00 00 00"},
	{byGuest, "0c 01 01 03 0a 00 00 01", "00"},
	{byGuest, "0c 02 01 03 00 00", "00 11 0a 00 00 01"},
	{byGuest, "0c 02 01 1b 00 00", "80"},
	{byGuest, "0c 03 01 03", "00 00"},
	{byGuest, "0c 10 02 1d 26 11", "cc"}, // no serial port
	{byGuest, "0c 11 02 1d 00 00", "cc"},
	{byGuest, "0c 11 02 1d", "c7"},
	{byGuest, "0c 04 01 01", "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"},
	{byGuest, "0c 21 01 01 01", "00"},
	{byGuest, "0c 22 01 01 00 00", "00 11 01"},
	{byGuest, "06 38 81 04", "00 01 80 04 02 00 00 00 00"},
	{byGuest, "06 38 01 04", "00 01 00 04 00 00 00 00 00"},
	{byGuest, "06 38 8e 04", "cc"}, // no sessions there
	{byGuest, "06 38 81 00", "cc"},
	{byGuest, "06 3b 04", "d5"},
	{byGuest, "06 3c 01 00 00 00", "87"},
	{byGuest, "06 3c 00 00 00 00 01", "88"},
	{byGuest, "06 3d 01", "00 00 3f 00"},
	{byGuest, "06 3d fe", "c7"},
}

func TestAccessIsKept(t *testing.T) {
	eachEnd(t, func(t *testing.T, b *board, restart func()) {
		for _, r := range accessRows {
			b.guest(r.ask)
		}
		b.guest("06 60 0f 0c 00 0e 00 03 00 06 00 00 00 00 00 00 00 00 00 00 00")
		mac := b.guest("0c 02 01 05 00 00")
		restart()
		b.wantAnswers(map[string]string{
			"06 46 02": "00 62 6f 62 00 00 00 00 00 00 00 00 00 00 00 00 00", "06 44 01 02": "00 10 41 01 14",
			"06 47 02 03 73 65 63 72 65 74 00 00 00 00 00 00 00 00 00 00": "00",
			"06 4d 01 02": "00 02 00 00 00", "06 41 01 40": "00 02 04", "0c 02 01 03 00 00": "00 11 0a 00 00 01",
			"0c 02 01 05 00 00": mac, "0c 22 01 01 00 00": "00 11 01", "0c 04 01 00": "d6",
			"06 59 00 04 00 00": "00 11 00 00 02 6f 73 00 00 00 00 00 00 00 00 00 00 00 00",
		})
	})
}

// A password and a key are in no file of the node's, nor in what a trace
// shows, but a door gets them.
func TestSecretsAreNotToBeFound(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	secrets := map[string]string{
		"sixteen-byte-pw!":     "06 47 02 02",
		"a twenty-byte secret": "06 47 83 02",
		"K_G, of twenty bytes": "06 56 01 01 01",
	}
	for secret, head := range secrets {
		raw := append(unhex(t, head), secret...)
		if got := b.guest(hex.EncodeToString(raw)); !strings.HasPrefix(got, "00") {
			t.Fatalf("%s: %s", head, got)
		}
		raw[0] <<= 2 // as it is on the system interface
		if got := redact.System(raw); bytes.Contains(got, []byte(secret)) || len(got) != len(raw) {
			t.Errorf("a trace shows %q", got)
		}
	}
	if b.guest("06 47 02 03"+hex.EncodeToString([]byte("sixteen-byte-pw!"))) != "00" {
		t.Error("the password is not kept")
	}
	files := 0
	err := filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		for secret := range secrets {
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("%s has %q", path, secret)
			}
		}
		return err
	})
	if err != nil || files < 3 {
		t.Errorf("%d files, %v", files, err)
	}
	info, err := os.Stat(sealKey(b.db.Path()).path())
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 32 {
		t.Errorf("key file: %v, %v", info, err)
	}
}

// The key is made when it is first needed, and is the same ever after. One that
// others may read is refused.
func TestSealKey(t *testing.T) {
	s := sealKey(filepath.Join(t.TempDir(), "node.db"))
	first, err := s.read()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.read(); err != nil || !bytes.Equal(first, again) || bytes.Equal(first, make([]byte, len(first))) {
		t.Errorf("% x, then % x, %v", first, again, err)
	}
	if err := os.Chmod(s.path(), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := s.read(); err == nil {
		t.Error("a key that the group may read was taken")
	}
}

func TestNoKeyBeforeTheFirstSecret(t *testing.T) {
	b := newBoard(t, ProfileServer)
	b.guest("06 45 02 62 6f 62 00 00 00 00 00 00 00 00 00 00 00 00 00")
	if _, err := os.Stat(sealKey(b.db.Path()).path()); !os.IsNotExist(err) {
		t.Errorf("key file: %v", err)
	}
}
