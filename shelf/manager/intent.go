package manager

import (
	"context"
	"crypto/sha256"
	"encoding/binary"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sel"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// cmdAddSEL is Add SEL Entry (IPMI 2.0 §31.6).
const cmdAddSEL ipmb.Cmd = 0x44

// forward sends an inner request on. What a session of the shelf's asks of a
// controller, and may change something there, is committed first as a name only,
// and sent under that name: the client's repeat at the next leader is found, and
// the controller answers it as it did the first time.
func (m *Manager) forward(ctx context.Context, t *tenure, f ipmb.Frame, req *ipmb.Request) (ipmb.Response, error) {
	o := req.Origin
	if o.Door != ipmb.DoorLAN || o.ID == 0 || harmless(f) {
		return t.send(ctx, f, o)
	}
	if _, err := m.commit(ctx, req, &v1.Command{Kind: &v1.Command_PutRecords{PutRecords: &v1.PutRecords{Shelf: m.cfg.Shelf}}}); err != nil {
		return ipmb.Response{}, err
	}
	return sendBy(ctx, f, o, func(ctx context.Context, r *ipmb.Request) (ipmb.Response, error) {
		return t.doNamed(ctx, intentName(o), 1, f.To, r)
	})
}

// harmless reports whether a frame may be done twice: what guests may ask of
// others only reads, but for events.
func harmless(f ipmb.Frame) bool {
	path, err := ipmb.Innermost(f)
	if err != nil || ipmb.DefaultGuestPolicy.Permit(f) != nil {
		return false
	}
	in := path[len(path)-1]
	event := in.NetFn == ipmb.NetFnSensor && in.Cmd == sel.CmdPlatformEvent || in.NetFn == ipmb.NetFnStorage && in.Cmd == cmdAddSEL
	return !event && !in.IsResponse() && in.ToLUN != ipmb.LUNSMS
}

// intentName is the instance that a session's request is sent under.
func intentName(o ipmb.Origin) string {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(append([]byte("lan"), o.Instance...), o.ID))
	return string(sum[:instanceLen])
}
