package rmcp

import (
	"bytes"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb/mc"
)

// FuzzRAKP1 and its like read each message of a login: none that is read has
// bytes that are not accounted for. The seeds are ipmitool 1.8.19's.
func FuzzRAKP1(f *testing.F) {
	f.Add(unhex(f, "00000000526a8d7815b46fe1c793c9cc2e2207cd4a9877a01400000561646d696e"))
	f.Add(unhex(f, "00000000a1cd5bb8adb8132d833ede545e1552fbb91e03941400000561646d696e"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, status, err := parseRAKP1(b)
		if err != nil {
			return
		}
		if status == StatusOK && (len(r.Name) > mc.UserNameLen || !bytes.HasSuffix(b, r.identity()[2:]) || len(b) != rakp1Len+len(r.Name)) {
			t.Errorf("% x: %+v", b, r)
		}
	})
}

func FuzzRAKP3(f *testing.F) {
	f.Add(unhex(f, "04000000526a8d7856faa5a1c3eec20ab5264e712e652499"))
	f.Add(unhex(f, "00000000a1cd5bb89bf00ae8bf05bb8b1f7dcd3b246b0c10582fc727"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseRAKP3(b); err == nil && (len(r.Code) != len(b)-rakp3Len || !bytes.Equal(word(r.ID), b[4:8])) {
			t.Errorf("% x: %+v", b, r)
		}
	})
}

func FuzzOpenSession(f *testing.F) {
	f.Add(unhex(f, "0000000000a4a3a2000000080100000001000008010000000200000801000000"))
	f.Add(unhex(f, "0204000001000000000000080200000001000008020000000200000801000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseOpen(b)
		if err != nil {
			return
		}
		out := r.appendOpen(nil, StatusOK, r.Privilege, 5)
		if len(out) != openLen+4 || !bytes.Equal(out[4:8], b[4:8]) || out[16] != b[12] || out[24] != b[20] || out[32] != b[28] {
			t.Errorf("% x: % x", b, out)
		}
	})
}

// FuzzSession15 sends packets to a session of IPMI 1.5 that waits for them: none
// that its password did not sign is served.
func FuzzSession15(f *testing.F) {
	s := newSite(nil)
	k := &v15Keys{authTypeMD5, password("sixteen")[:code15Len]}
	f.Add(k.appendSealed(nil, PayloadIPMI, 0x44332211, 1, []byte{0x20, 0x18, 0xC8, 0x81, 4, 1, 0x7A})[rmcpLen:])
	f.Add(unhex(f, "027a0485a0bea84ca43817d96408065f3f17a61f110b4c5670082018c881583b04e8"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePacket(b)
		if err != nil || p.auth == 0 {
			return
		}
		one := &session{id: p.ID, handle: 1, v15: &challenge{auth: authTypeMD5}, keys: k, in: startWindow(1)}
		s.all = map[uint32]*session{p.ID: one}
		message, err := one.unseal(p)
		if err == nil && (p.auth != authTypeMD5 || !bytes.Equal(k.code(p.ID, p.Seq, message), p.code)) {
			t.Errorf("% x is taken", b)
		}
		if _, answer, ok := s.prove15(p, source, time.Now()); ok && answer == nil {
			t.Errorf("% x activates a session that is active", b)
		}
	})
}
