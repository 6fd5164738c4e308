package rmcp

import (
	"net/netip"
	"testing"
)

func TestPlaces(t *testing.T) {
	ps, err := ParsePlaces([]string{"127.77.1.2:6230", "10.0.0.0/30:623-624", "[::1]:700", "[fd00::/64]:623"})
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]bool{
		"127.77.1.2:6230": true, "127.77.1.2:6231": false, "127.77.1.3:6230": false,
		"10.0.0.0:623": true, "10.0.0.3:624": true, "10.0.0.4:624": false, "10.0.0.1:625": false,
		"[::1]:700": true, "[::2]:700": false, "[fd00::9]:623": true, "[fd00:0:0:1::9]:623": false,
		"0.0.0.0:6230": false, "[::ffff:10.0.0.1]:623": false,
	} {
		a := netip.MustParseAddrPort(at)
		if ps.Allow(a) != want || At(a).String() != at && a.Addr().Is4() || !(Places{At(a)}).Allow(a) {
			t.Errorf("%s: %v", at, !want)
		}
	}
	if !ps.AllowAddr(netip.MustParseAddr("10.0.0.1")) || ps.AllowAddr(netip.MustParseAddr("10.0.0.9")) {
		t.Error("addresses alone")
	}
	if !ps.AllowPort(700) || ps.AllowPort(625) {
		t.Error("ports alone")
	}
}

func TestPlaceAnywhere(t *testing.T) {
	for s, want := range map[string]bool{
		"0.0.0.0/0:623": true, "0.0.0.0/1:623": true, "0.0.0.0:623": true, "[::/0]:623": true, "[::]:623": true,
		"128.0.0.0/1:623": false, "127.0.0.0/8:1-65535": false, "[::1]:623": false, "[fd00::/8]:623": false,
	} {
		if p, err := ParsePlace(s); err != nil || p.Anywhere() != want {
			t.Errorf("%s: %v, %v", s, p.Anywhere(), err)
		}
	}
}

func TestParsePlaceRefuses(t *testing.T) {
	for _, s := range []string{
		"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:9-8", "127.0.0.1:0-8", "127.0.0.1:1-2-3",
		"host:623", "::1:623", "[::1:623", "[127.0.0.1]:623", "10.0.0.0/33:623", "[fe80::1%eth0]:623", "[::ffff:10.0.0.1]:623", ":623",
	} {
		if p, err := ParsePlace(s); err == nil {
			t.Errorf("%q: %v", s, p)
		}
	}
}

// What is read is written as it can be read again.
func FuzzParsePlace(f *testing.F) {
	for _, s := range []string{"127.77.1.2:6230", "10.0.0.0/8:1-65535", "[::1]:623", "[fd00::/64]:1-2", "[::ffff:1.2.3.4/112]:9", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePlace(s)
		if err != nil {
			return
		}
		again, err := ParsePlace(p.String())
		if err != nil || again != p {
			t.Errorf("%q: %v, again %v, %v", s, p, again, err)
		}
		if !(Places{p}).Allow(netip.AddrPortFrom(p.Prefix.Addr(), p.Last)) {
			t.Errorf("%v does not hold itself", p)
		}
	})
}
