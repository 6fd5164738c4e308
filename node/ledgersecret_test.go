package node

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/midplane-project/midplane/ipmb"
)

// inLedger reports whether the ledger's file has a text.
func (b *board) inLedger(text string) bool {
	b.t.Helper()
	file, err := os.ReadFile(filepath.Join(b.dir, ledgerFile))
	if err != nil {
		b.t.Fatal(err)
	}
	return bytes.Contains(file, []byte(text))
}

// A password for another controller is on no disk, not even for as long as it is
// under way; after a kill the sender's retry is a request like any other.
func TestPasswordsStayOutOfTheLedger(t *testing.T) {
	inTime(t, func(t *testing.T, b *board) {
		const harmless, secret = "Get Device ID!", "correct horse!"
		send := func(cmd ipmb.Cmd, text string) {
			t.Helper()
			f := request(other, byte(cmd)&0x3F, ipmb.NetFnApp, cmd, append([]byte{2, 2}, text...)...)
			if err := b.bridge.asks.send(f, b.origin()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		send(0x01, harmless)
		send(0x47, secret)
		if !b.inLedger(harmless) || b.inLedger(secret) {
			t.Errorf("harmless %v, secret %v", b.inLedger(harmless), b.inLedger(secret))
		}
		b.kill()
		b.start()
		b.bus.on(func(ipmb.Message) (ipmb.Response, bool) { return ipmb.Response{}, true })
		n := len(b.bus.messages())
		send(0x47, secret)
		again := func(m ipmb.Message) bool { return string(m.Frame.Data[2:]) == secret }
		if sent := b.bus.messages()[n:]; !slices.ContainsFunc(sent, again) {
			t.Errorf("the retry: %v", sent)
		}
		if b.inLedger(secret) {
			t.Error("the retry is on disk")
		}
	})
}

// What the guest has fetched, and what it asked for before, is wiped.
func TestLedgerIsWiped(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	const text = "for the guest's eyes only"
	if !b.mail.push(request(self, 1, ipmb.NetFnApp, 0x01, []byte(text)...), nil) || !b.inLedger(text) {
		t.Fatal("not kept")
	}
	if got := b.received(); len(got) != 1 {
		t.Fatalf("received %v", got)
	}
	b.push(1) // a message last given stays until the next one is
	b.received()
	if b.inLedger(text) {
		t.Error("still there")
	}
	path := filepath.Join(b.dir, ledgerFile)
	b.stop()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(file[ledgerSlot*ledgerSlots+ledgerHeader:], text) // of a slot that is free
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	b.start()
	if b.inLedger(text) {
		t.Error("left by an older node")
	}
}
