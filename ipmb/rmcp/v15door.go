package rmcp

import (
	"context"
	"net/netip"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// authenticated15 deals with a packet of an IPMI 1.5 session: without a
// sequence number it is an Activate Session, or nothing.
func (d *Door) authenticated15(ctx context.Context, p packet, from netip.AddrPort) {
	if d.Sessions.cfg.AuthTypes&(1<<p.auth) == 0 {
		return
	}
	if p.Seq != 0 {
		d.inSession(ctx, p, from)
		return
	}
	if !d.limits.take(limitStep, from, time.Now()) {
		return
	}
	f, answer, ok := d.Sessions.prove15(p, from, time.Now())
	switch {
	case !ok:
		return
	case answer != nil:
		d.send(answer, from)
		return
	}
	d.limits.loggedIn(from, time.Now())
	o := d.Origin
	o.Privilege, o.Session = ipmb.PrivilegeNone, p.ID
	b, in := d.Sessions.answered15(f, p.ID, d.Handler.ServeIPMI(ctx, f.Request(o)))
	if in && d.Sessions.cfg.Store != nil && !d.Sessions.keep(ctx, p.ID) {
		return
	}
	d.send(b, from)
}
