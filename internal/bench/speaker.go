package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/internal/link"
	"github.com/midplane-project/midplane/internal/port"
	"github.com/midplane-project/midplane/internal/trust"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/uplink"
)

// speaker is a controller without a VM in the benchmark's own process: a real
// uplink over TLS, by which the shelf can be asked without a guest's door in
// between.
type speaker struct {
	*ipmb.Requester
	generator uint32
	outbox    *uplink.Outbox
	db        *kv.DB
	stop      context.CancelFunc
	done      chan struct{}
}

// speaker attaches one in a slot that has no node.
func (s *stand) speaker(ctx context.Context, slot int) (*speaker, error) {
	creds, err := trust.LoadCredentials(s.path("pki"), fmt.Sprintf("node/%s/%d", shelfName, slot))
	if err != nil {
		return nil, err
	}
	sp := &speaker{generator: uint32(ipmb.SlotAddr(slot)), done: make(chan struct{})}
	if sp.db, err = kv.Open(s.path(fmt.Sprintf("speaker%d.db", slot))); err != nil {
		return nil, err
	}
	if sp.outbox, err = uplink.OpenOutbox(sp.db); err != nil {
		return nil, err
	}
	id := uuid.New()
	up := uplink.New(uplink.Config{
		Shelf: shelfName, HW: ipmb.SlotAddr(slot).HW(), Instance: id, Boot: 1, Name: fmt.Sprintf("speaker%d", slot),
		Profile: "atca", Replicas: s.addresses(), Dial: dialer(creds), Outbox: sp.outbox,
		Deliver: func(_ context.Context, m ipmb.Message) { sp.Deliver(m) },
	})
	sp.Requester = ipmb.NewRequester(up, ipmb.SlotAddr(slot), string(id[:]), 1)
	run, stop := context.WithCancel(context.Background())
	sp.stop = stop
	go func() {
		defer close(sp.done)
		_ = up.Run(run) // refused: the question below gets no answer
	}()
	err = eventually(ctx, startPatience, func() error { return sp.deviceID(ctx) })
	if err != nil {
		sp.close()
		return nil, fmt.Errorf("attach in slot %d: %w", slot, err)
	}
	return sp, nil
}

func (s *stand) addresses() (list []uplink.Replica) {
	for i, r := range s.replicas {
		list = append(list, uplink.Replica{Name: replicaName(i), Addr: r.addr})
	}
	return list
}

func dialer(creds *trust.Credentials) link.Dialer {
	return func(_ context.Context, addr string) (link.Conn, error) {
		cc, err := grpc.NewClient("passthrough:///"+addr, append(port.BusDial(),
			grpc.WithTransportCredentials(port.DialCredentials(creds, trust.ProtoBus, trust.Identity{Role: trust.Replica})))...)
		if err != nil {
			return nil, err
		}
		return link.OverGRPC(cc), nil
	}
}

// ask sends one request to 0x20 and waits for its answer.
func (sp *speaker) ask(ctx context.Context, netFn ipmb.NetFn, cmd ipmb.Cmd, data []byte) error {
	req := &ipmb.Request{
		NetFn: netFn, Cmd: cmd, Data: data,
		Origin: ipmb.Origin{Speaker: ipmb.SpeakerController, Door: ipmb.DoorIPMB, Privilege: ipmb.PrivilegeOperator, Shelf: shelfName},
	}
	r, err := sp.Do(ctx, ipmb.AddrShelfManager, req, ipmb.Rhythm{time.Second, time.Second, time.Second})
	if err != nil {
		return err
	}
	return r.Err()
}

func (sp *speaker) deviceID(ctx context.Context) error {
	return sp.ask(ctx, ipmb.NetFnApp, ipmb.CmdGetDeviceID, nil)
}

func (sp *speaker) close() {
	sp.stop()
	<-sp.done
	_ = sp.db.Close()
}

// scratch is a path in the stand's directory.
func (b *bench) scratch(name string) string { return filepath.Join(b.dir, name) }
