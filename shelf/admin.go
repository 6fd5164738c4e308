package shelf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"google.golang.org/grpc"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/cluster"
	"github.com/midplane-project/midplane/shelf/state"
)

// Errors for those who look after a shelf.
var (
	ErrNoLeader     = errors.New("no leader: a majority of the replicas is not reachable")
	ErrUnknownShelf = state.ErrUnknownShelf
)

// Name is the replica's name.
func (r *Replica) Name() string { return r.cfg.Name }

// Log is the replica's log, for those who serve it.
func (r *Replica) Log() *slog.Logger { return r.log }

// ShelfName gives the shelf that a request means: the one it names, or the
// only one.
func (r *Replica) ShelfName(name string) (string, error) {
	if name != "" {
		if _, ok := r.fsm.Shelf(name); !ok {
			return "", fmt.Errorf("%w: %q", ErrUnknownShelf, name)
		}
		return name, nil
	}
	all := r.fsm.Shelves()
	if len(all) != 1 {
		return "", fmt.Errorf("%w: %d shelves here, name one", ErrUnknownShelf, len(all))
	}
	return all[0].Name, nil
}

// Presence is the presence table of a shelf as this replica sees it.
func (r *Replica) Presence(shelf string) []*v1.Presence { return r.sw.Presence(shelf) }

// Raw sends a request to a controller from 0x20, or asks 0x20 itself. Only the
// leader can: others fail with ErrNoLeader.
func (r *Replica) Raw(ctx context.Context, shelf string, to ipmb.Addr, req *ipmb.Request) (ipmb.Response, error) {
	m := r.brain.manager(shelf)
	if m == nil {
		return ipmb.Response{}, ErrNoLeader
	}
	answer, err := m.Raw(ctx, to, req)
	var deposed *cluster.ErrNotLeader
	if errors.As(err, &deposed) || err != nil && r.Term() == 0 {
		err = fmt.Errorf("%w: %w", ErrNoLeader, err)
	}
	return answer, err
}

// DialLeader connects to the API of the leader; nil when this replica leads.
func (r *Replica) DialLeader() (*grpc.ClientConn, error) {
	l, ok := r.cluster.Leader()
	switch {
	case !ok:
		return nil, ErrNoLeader
	case l.ID == r.cfg.Name:
		return nil, nil
	}
	return r.dialAPI(l.Address)
}

func (r *Replica) dialAPI(addr string) (*grpc.ClientConn, error) {
	if r.wires.api == nil {
		return nil, ErrNoLeader
	}
	return r.wires.api(addr)
}

// DialMember connects to the API of another replica.
func (r *Replica) DialMember(addr string) (*grpc.ClientConn, error) { return r.dialAPI(addr) }
