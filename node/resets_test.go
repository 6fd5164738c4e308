package node

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/node/power/powertest"
)

// What the VM's software said of itself is gone with the VM's reset, and with
// its end; what was set for good stays.
func TestResetsOfTheVM(t *testing.T) {
	for name, happens := range map[string]func(*powertest.VM){
		"reboot":   (*powertest.VM).GuestReboot,
		"poweroff": (*powertest.VM).GuestPoweroff,
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, b *board) {
				machine := powertest.New()
				events := machine.Subscribe(16)
				defer events.Cancel()
				b.spawn(func(ctx context.Context) {
					if err := watchResets(ctx, events, b.access.systemReset, slog.New(slog.DiscardHandler)); err != nil {
						t.Error(err)
					}
				})
				if err := machine.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := machine.Cont(t.Context()); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				b.guest("06 58 04 00 00 02 6f 73")
				b.guest("06 58 02 00 00 02 6f 73")
				b.guest("0c 01 01 00 01")
				happens(machine)
				time.Sleep(time.Second) // the store writes in batches
				b.wantAnswers(map[string]string{
					"06 59 00 04 00 00": "00 11 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
					"06 59 00 02 00 00": "00 11 00 00 02 6f 73 00 00 00 00 00 00 00 00 00 00 00 00",
					"0c 02 01 00 00 00": "00 11 00",
				})
				if err := machine.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
