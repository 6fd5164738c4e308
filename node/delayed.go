package node

import (
	"context"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/ipmb"
)

// storeOptions lets the store of an SSIF node be delayed. QEMU's smbus-ipmi
// has no way to let its guest wait: it gives the answer before when the guest
// reads too early, and Linux reads after 5 ms (ipmi_ssif.c, SSIF_MSG_PART_USEC;
// an answer after 4 ms is always right). An fsync may take longer. So there, and
// there only, an answer leaves when a SIGKILL does not lose what it promises,
// and the disk has that a moment later; see kv.Options.
func (n *Node) storeOptions() kv.Options {
	return kv.Options{Delayed: n.cfg.Interface == "ssif", Logger: n.log, BeforeSync: n.opt.beforeSync}
}

// synced has everybody but the own guest wait until the disk has what they
// changed, where the store is delayed: they have the time, and what they are
// told must outlive the host. The guest does not outlive it either.
type synced struct {
	ipmb.Handler
	hasEffect func(*ipmb.Request) bool
	db        *kv.DB
}

// ServeIPMI implements ipmb.Handler.
func (s synced) ServeIPMI(ctx context.Context, req *ipmb.Request) ipmb.Response {
	r := s.Handler.ServeIPMI(ctx, req)
	if req.Origin.Door == ipmb.DoorSystem || !s.hasEffect(req) {
		return r
	}
	if err := s.db.Sync(); err != nil {
		return ipmb.Response{Code: ipmb.ErrUnspecified}
	}
	return r
}
