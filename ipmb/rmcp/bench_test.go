package rmcp

import (
	"fmt"
	"testing"
)

// Sealing and opening a message of the length of Get Device ID's answer.
func BenchmarkKeys(b *testing.B) {
	message := make([]byte, 23)
	for _, suite := range newSite(nil).cfg.Suites {
		a, _ := algorithmOf(suite)
		k := newKeys(a, []byte("key"))
		var buf []byte
		b.Run(fmt.Sprintf("seal, suite %d", suite.ID), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buf = k.appendSealed(buf[:0], PayloadIPMI, 5, 6, message)
			}
		})
		p, err := parsePacket(k.appendSealed(nil, PayloadIPMI, 5, 6, message)[rmcpLen:])
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("open, suite %d", suite.ID), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.open(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
