package manager

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/rmcp"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// sessionPrefix begins the names of the records of LAN sessions; each is sealed.
const sessionPrefix = "lan/session/"

func sessionRecord(id uint32) string { return fmt.Sprintf("%s%08x", sessionPrefix, id) }

// recordedSession is whose record has a name, which sessionRecord gave it.
func recordedSession(name string) uint32 {
	id, _ := strconv.ParseUint(strings.TrimPrefix(name, sessionPrefix), 16, 32) // 0 is no session
	return uint32(id)
}

// sessionStore keeps the sessions of the LAN door in raft: the next leader goes
// on with them.
type sessionStore struct{ *access }

var _ rmcp.Store = sessionStore{}

// Save implements rmcp.Store.
func (s sessionStore) Save(ctx context.Context, c rmcp.Change) error {
	p := &v1.PutRecords{Shelf: s.m.cfg.Shelf, Response: c.Answer}
	for _, k := range c.Put {
		name := sessionRecord(k.ID)
		plain, err := k.AppendBinary(nil)
		if err != nil {
			return err
		}
		sealed, err := s.sealer.Seal(name, plain)
		if err != nil {
			return err
		}
		p.Put = append(p.Put, &v1.NamedRecord{Name: name, Value: sealed})
	}
	for _, id := range c.Gone {
		p.Delete = append(p.Delete, sessionRecord(id))
	}
	if c.By == nil {
		return s.m.put(ctx, p)
	}
	ctx, cancel := lasting(ctx)
	defer cancel()
	_, err := s.m.commit(ctx, c.By, &v1.Command{Kind: &v1.Command_PutRecords{PutRecords: p}})
	return err
}

// Done implements rmcp.Store.
func (s sessionStore) Done(instance string, id uint64) bool {
	row, n := sessionOf(ipmb.Origin{Instance: instance, ID: id, Source: ipmb.AddrShelfManager})
	_, ok := s.m.cfg.State.Answered(row, n)
	return ok
}

// userChanged holds the sessions of a user to what he may now. What the store
// does not learn the next leader sees when it takes them up.
func (a *access) userChanged(ctx context.Context, id uint8, by ipmb.Origin) {
	ended, err := a.sessions.UserChanged(ctx, id, by)
	a.payloads.UserChanged(id)
	if ended > 0 {
		a.m.cfg.Logger.Info("sessions ended with what their user may", "shelf", a.m.cfg.Shelf, "user", id, "sessions", ended)
	}
	if err != nil {
		a.m.cfg.Logger.Info("sessions of a changed user are not yet stored", "shelf", a.m.cfg.Shelf, "user", id, "err", err)
	}
}

// restoreSessions takes up the sessions that the last leader had. A record that no
// session can be made of is deleted; one that this replica has not the key of may be
// another's mistake, and stays.
func (a *access) restoreSessions(r mc.Records) {
	var list []rmcp.Kept
	_ = r.Each(sessionPrefix, func(name string, sealed []byte) bool { // does not fail: it is in memory
		plain, err := a.sealer.Open(name, sealed)
		if err != nil {
			a.notTakenUp(name, err)
			return true
		}
		k, err := rmcp.ParseKept(plain)
		if err != nil {
			a.notTakenUp(name, err)
			k = rmcp.Kept{ID: recordedSession(name)} // without a handle it is forgotten
		}
		list = append(list, k)
		return true
	})
	a.sessions.Restore(list, time.Now())
}

func (a *access) notTakenUp(record string, err error) {
	a.m.cfg.Logger.Error("session of the LAN door not taken up", "shelf", a.m.cfg.Shelf, "record", record, "err", err)
}
