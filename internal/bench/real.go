package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/power"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Real guests: unmodified Linux in QEMU, one with KCS and one with BT, whose
// loop program keeps requests in flight at 0x20 through /dev/ipmi0.
const (
	bootPatience = 3 * time.Minute
	loopPiece    = 10 * time.Second // one run of the loop program
	loopInFlight = 4                // emulated processors are slow; more would only starve the replicas
)

var realInterfaces = []power.SystemInterface{power.KCS, power.BT}

// machines gives the specs of real guests in the slots after the first ones.
func (b *bench) machines(ctx context.Context, after int) (func(*stand, int) *power.Spec, error) {
	home, err := lab.OpenHome()
	if err != nil {
		return nil, err
	}
	image, err := lab.BuildGuest(ctx, home, "", "", func(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) })
	if err != nil {
		return nil, err
	}
	accel, err := power.Probe(ctx, power.DefaultBinary, "")
	if err != nil {
		return nil, err
	}
	return func(s *stand, slot int) *power.Spec {
		if slot <= after {
			return nil
		}
		return s.machine(slot, realInterfaces[(slot-after-1)%len(realInterfaces)], accel.Accel, image.Kernel, image.Initrd)
	}, nil
}

func (s *stand) machine(slot int, kind power.SystemInterface, accel, kernel, initrd string) *power.Spec {
	name := fmt.Sprintf("vm%d", slot)
	return &power.Spec{
		Name: name, UUID: uuid.NewString(), Accel: accel, MemoryMiB: 256, Kernel: kernel, Initrd: initrd,
		Append: "no_timer_check console=ttyS0 quiet midplane.name=" + name, SystemInterface: kind, SlaveAddr: uint8(ipmb.SlotAddr(slot)),
		VMSocket:  power.VMSocket{Path: s.path(name + ".vm"), Server: true},
		QMPSocket: s.path(name + ".qmp"), AgentSocket: s.path(name + ".qga"), ConsoleSocket: s.path(name + ".con"),
	}
}

// crew is the real guests of a stand at work.
type crew struct {
	nodes []*daemon
	vms   []int // pids
	stop  context.CancelFunc
	wg    sync.WaitGroup

	mu  sync.Mutex
	sum tally
	err error
}

// crew waits until the real guests have booted and sets them to work.
func (s *stand) crew(ctx context.Context, nodes []*daemon) (*crew, error) {
	c := &crew{nodes: nodes, sum: tally{reasons: make(map[string]int)}}
	run, stop := context.WithCancel(ctx)
	c.stop = stop
	for _, d := range nodes {
		if err := c.boot(ctx, d); err != nil {
			return c, err // with what is to be closed
		}
	}
	for i, d := range nodes {
		c.wg.Go(func() { c.work(run, ctx, d, realInterfaces[i%len(realInterfaces)]) })
	}
	return c, nil
}

// boot waits until a guest runs programs and has its IPMI device.
func (c *crew) boot(ctx context.Context, d *daemon) error {
	err := eventually(ctx, bootPatience, func() error {
		st, err := ask(ctx, d, func(ctx context.Context, cc *grpc.ClientConn) (*v1.NodeStatusResponse, error) {
			return v1.NewNodeClient(cc).Status(ctx, &v1.NodeStatusRequest{})
		})
		if err != nil {
			return err
		}
		if st.VmPid == 0 {
			return errors.New("its QEMU does not run yet")
		}
		if pid := int(st.VmPid); !slices.Contains(c.vms, pid) {
			c.vms = append(c.vms, pid)
		}
		_, err = inGuest(ctx, d, askPatience, "test", "-c", "/dev/ipmi0")
		return err
	})
	if err != nil {
		return fmt.Errorf("real guest: %w", err)
	}
	return nil
}

// work runs the loop program piece after piece until run ends; the last piece
// is waited for.
func (c *crew) work(run, ctx context.Context, d *daemon, kind power.SystemInterface) {
	for run.Err() == nil {
		out, err := inGuest(ctx, d, loopPiece+time.Minute, "midplane-guest", "loop", "--target", "0x20", "--mix", "both",
			"--inflight", fmt.Sprint(loopInFlight), "--for", loopPiece.String())
		var said struct {
			Sent, OK, Failed, Lost int
			Codes                  map[string]int
		}
		if jerr := json.Unmarshal(out, &said); jerr != nil {
			err = errors.Join(err, jerr)
		} else {
			err = nil // the program's exit code only says that something failed
		}
		c.mu.Lock()
		c.sum.sent, c.sum.answered, c.sum.failed = c.sum.sent+said.Sent, c.sum.answered+said.OK, c.sum.failed+said.Failed+said.Lost
		for code, n := range said.Codes {
			c.sum.reasons[string(kind)+" "+code] += n
		}
		if said.Lost > 0 {
			c.sum.reasons[string(kind)+" no answer"] += said.Lost
		}
		c.err = errors.Join(c.err, err)
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// end lets the guests finish and gives what became of their requests.
func (c *crew) end() (tally, error) {
	c.stop()
	c.wg.Wait()
	return c.sum, c.err
}

// close takes the VMs away: they outlive their nodes.
func (c *crew) close() {
	c.stop()
	for _, pid := range c.vms {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// inGuest runs a program in the guest of a node and gives what it printed.
func inGuest(ctx context.Context, d *daemon, patience time.Duration, argv ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cc, err := grpc.NewClient(d.api, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer cc.Close()
	stream, err := v1.NewNodeClient(cc).Exec(ctx, &v1.ExecRequest{Argv: argv, TimeoutSeconds: uint32(patience / time.Second)})
	if err != nil {
		return nil, err
	}
	var out []byte
	for {
		r, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return out, errors.New(argv[0] + ": no exit code came")
		case err != nil:
			return out, fmt.Errorf("%s in the guest: %w", argv[0], err)
		}
		out = append(out, r.Stdout...)
		if r.Exited {
			if r.ExitCode != 0 {
				return out, fmt.Errorf("%s in the guest: exit code %d", argv[0], r.ExitCode)
			}
			return out, nil
		}
	}
}
