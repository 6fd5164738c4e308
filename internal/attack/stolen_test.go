package attack

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/uplink"
)

// stolen is what somebody makes of a board's certificate: a stream to the shelf
// manager, by which he says what he likes.
func (r *rack) stolen(slot int) *ipmb.Requester {
	r.t.Helper()
	own, instance := ipmb.SlotAddr(slot), uuid.New()
	var says *ipmb.Requester
	up := uplink.New(uplink.Config{
		Shelf: shelfName, HW: own.HW(), Instance: instance, Boot: 1, Name: "stolen", Profile: "atca",
		Replicas: []uplink.Replica{{Name: replica, Addr: replica}}, Dial: r.bus.Dialer("stolen"),
		Deliver: func(_ context.Context, m ipmb.Message) {
			if m.Frame.IsResponse() {
				says.Deliver(m)
			}
		},
	})
	says = ipmb.NewRequester(up, own, string(instance[:]), 1<<40)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = up.Run(ctx) // refused: the question below gets no answer
	}()
	r.t.Cleanup(func() { cancel(); <-done })
	for deadline := time.Now().Add(time.Minute); ; {
		got, err := says.Do(r.t.Context(), victim, stolenRequest(ipmb.NetFnApp, ipmb.CmdGetDeviceID, ipmb.SpeakerController), ipmb.Rhythm{time.Second})
		if err == nil && got.Code == ipmb.OK {
			return says
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("the stream is not there: %v, %v", got, err)
		}
	}
}

func stolenRequest(n ipmb.NetFn, cmd ipmb.Cmd, by ipmb.Speaker, data ...byte) *ipmb.Request {
	return &ipmb.Request{NetFn: n, Cmd: cmd, Data: data, Origin: ipmb.Origin{
		Speaker: by, Door: ipmb.DoorInternal, Privilege: ipmb.PrivilegeAdmin, Shelf: shelfName, Source: manager,
	}}
}

// Who has a board's certificate and key, and says over its stream that the
// controller itself or a person speaks, an administrator, commands nobody either.
func TestAttackStolenNode(t *testing.T) {
	r := newRack(t)
	says := r.stolen(4)
	r.unharmed(func() {
		for _, by := range []ipmb.Speaker{ipmb.SpeakerController, ipmb.SpeakerSession, ipmb.SpeakerAPI} {
			for _, o := range orders {
				for _, to := range []ipmb.Addr{victim, third, manager} {
					nested := append([]byte{0x40}, o.to(to)...)
					for way, q := range map[string]struct {
						to  ipmb.Addr
						req *ipmb.Request
					}{
						"direct":     {to, stolenRequest(o.n, o.cmd, by, o.data...)},
						"by 20h":     {manager, stolenRequest(ipmb.NetFnApp, ipmb.CmdSendMessage, by, nested...)},
						"by another": {attacker, stolenRequest(ipmb.NetFnApp, ipmb.CmdSendMessage, by, nested...)},
					} {
						got, err := says.Do(t.Context(), q.to, q.req, ipmb.ControllerRhythm)
						if err != nil || got.Code != ipmb.ErrPrivilege {
							t.Errorf("%s at %v as %v, %s: %v, %v", o.name, to, by, way, got.Code, err)
						}
					}
				}
			}
		}
	})
}
