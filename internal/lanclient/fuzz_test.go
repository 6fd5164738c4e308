package lanclient

import (
	"bytes"
	"testing"
)

// pair is both ends of a session of suite s, with keys of nothing.
func pair(tb testing.TB, s Suite) (us, them *Session) {
	tb.Helper()
	a, err := s.algorithm()
	if err != nil {
		tb.Fatal(err)
	}
	ends := [2]*Session{{console: 5, id: 6}, {console: 6, id: 5}}
	for _, e := range ends {
		if e.seal, err = newSealer(a, nil); err != nil {
			tb.Fatal(err)
		}
	}
	return ends[0], ends[1]
}

func TestSealed(t *testing.T) {
	for _, suite := range []Suite{Suite3, Suite17} {
		us, them := pair(t, suite)
		for n := range 40 {
			frame, err := us.AppendFrame(nil, 6, 1, bytes.Repeat([]byte{0xA5}, n))
			if err != nil {
				t.Fatal(err)
			}
			raw := us.AppendSealed(nil, frame)
			for i := headerLen; i < len(raw); i++ { // no bit may change
				bad := bytes.Clone(raw)
				bad[i] ^= 0x10
				if _, err := them.Open(bad); err == nil {
					t.Fatalf("suite %d: byte %d changed", suite, i)
				}
			}
			if f, err := them.Open(raw); err != nil || len(f.Data) != n {
				t.Errorf("suite %d, %d bytes: %s, %v", suite, n, f, err)
			}
		}
	}
}

// What a controller sends may be anything, and may be signed.
func FuzzOpen(f *testing.F) {
	us, them := pair(f, Suite17)
	frame, err := them.AppendFrame(nil, 7, 1, []byte{0, 1, 2})
	if err != nil {
		f.Fatal(err)
	}
	raw := them.AppendSealed(nil, frame)
	f.Add(raw, false)
	f.Add(raw[:len(raw)-us.seal.codeLen], true)
	f.Add(bare(kindRAKP2, make([]byte, 40)), true)
	f.Fuzz(func(t *testing.T, b []byte, sign bool) {
		if b = bytes.Clone(b); sign && len(b) > rmcpLen {
			b = append(b, us.seal.code(b[rmcpLen:])...)
		}
		if f, err := us.Open(b); err == nil {
			_, _ = f.Response()
		}
	})
}

func FuzzLogin(f *testing.F) {
	f.Add(bare(kindOpenResponse, append([]byte{0, 0, 0, 0, 5}, make([]byte, 31)...)), bare(kindRAKP2, append([]byte{0, 0, 0, 0, 5}, make([]byte, 67)...)), true)
	f.Add(bare(kindOpenResponse, []byte{0, 1, 0, 0, 5, 0, 0, 0}), bare(kindRAKP4, append([]byte{0, 0, 0, 0, 5}, make([]byte, 19)...)), false)
	f.Fuzz(func(t *testing.T, one, two []byte, plain bool) {
		who := admin
		if plain {
			who.Suite = Suite3
		}
		l, err := NewLogin(who, 5)
		if err != nil {
			t.Fatal(err)
		}
		l.First()
		for _, b := range [][]byte{one, two} {
			if _, s, _ := l.Next(b); s != nil {
				t.Error("a session with one who does not know the password")
			}
		}
	})
}
