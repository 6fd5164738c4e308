package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"

	"github.com/google/uuid"

	"github.com/midplane-project/midplane/deploy/guest"
	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/node/power"
)

// choose fills in what is chosen once and kept. It writes nothing.
func (l *Lab) choose(say Say) error {
	run := l.RunDir
	err := jsonfile.Read(l.choicesPath(), &l.Choices)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l.RunDir = first(l.RunDir, run)
	l.Cluster = first(l.Cluster, uuid.NewString())
	if err := l.chooseLAN(say); err != nil {
		return err
	}
	return l.choosePorts()
}

// takenIDs are the ids of the user's other shelves.
func (l *Lab) takenIDs() (taken []int, err error) {
	names, err := l.Home.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		var c Choices
		if name != l.Name && jsonfile.Read(l.Home.at(name).choicesPath(), &c) == nil {
			taken = append(taken, c.ID)
		}
	}
	return taken, nil
}

// choosePorts takes the ports of the shelf file, else those of last time, and
// free ones for the rest.
func (l *Lab) choosePorts() error {
	want := l.Topology.Replicas
	if len(l.Topology.Ports) > 0 {
		l.Ports = slices.Clone(l.Topology.Ports)
		return nil
	}
	l.Ports = l.Ports[:min(len(l.Ports), want)]
	for len(l.Ports) < want {
		ln, err := net.Listen("tcp", net.JoinHostPort(l.Topology.Listen, "0"))
		if err != nil {
			return &problem.Error{
				Code: problem.Failed, What: "cannot listen on " + l.Topology.Listen, Why: err,
				Do: "set listen in shelf.yaml to an address of this machine",
			}
		}
		defer ln.Close() // after the last is chosen, so that each is another one
		l.Ports = append(l.Ports, ln.Addr().(*net.TCPAddr).Port)
	}
	return nil
}

// dropStale forgets builds and probes of last time, unless something of the
// shelf runs on them.
func (l *Lab) dropStale() {
	if len(l.runningNames()) == 0 {
		l.Accels, l.Images = nil, nil
	}
}

// decide probes accelerators and builds lab guests that are needed and not
// known. In a dry run, names stand for what would be built.
func (l *Lab) decide(ctx context.Context, dry bool, say Say) error {
	l.dropStale()
	if l.Accels == nil {
		l.Accels = map[string]string{}
	}
	if l.Images == nil {
		l.Images = map[string]Image{}
	}
	for _, n := range l.Topology.Nodes {
		q := n.QEMU
		if q.None {
			continue
		}
		if bin := binary(q); q.Accel == power.Auto && l.Accels[bin] == "" {
			if err := l.probe(ctx, bin, say); err != nil {
				return err
			}
		}
		key := imageKey(q)
		if _, ok := l.Images[key]; !ok && usesLabGuest(q) {
			image, err := l.image(ctx, q.Kernel, q.Modules, dry, say)
			if err != nil {
				return err
			}
			l.Images[key] = image
		}
	}
	return nil
}

func (l *Lab) probe(ctx context.Context, bin string, say Say) error {
	choice, err := power.Probe(ctx, bin, l.Home.Cache)
	if err != nil {
		return &problem.Error{
			Code: problem.Failed, What: "cannot run QEMU", Where: bin, Why: err,
			Do: "install it, or name yours in shelf.yaml (qemu: {binary: …}), or say qemu: none",
		}
	}
	l.Accels[bin] = choice.Accel
	say("✓ %s: %s (%s)", bin, choice.Accel, choice.Reason)
	return nil
}

func (l *Lab) image(ctx context.Context, kernel, modules string, dry bool, say Say) (Image, error) {
	if dry {
		return Image{Kernel: "(lab guest)", Initrd: "(lab guest)"}, nil
	}
	image, err := BuildGuest(ctx, l.Home, kernel, modules, say)
	if err != nil {
		return Image{}, err
	}
	say("✓ lab guest %s", image.Version)
	return Image{Kernel: image.Kernel, Initrd: image.Initrd, Version: image.Version}, nil
}

// BuildGuest builds the lab guest, or takes it from the cache.
func BuildGuest(ctx context.Context, h Home, kernel, modules string, say Say) (guest.Image, error) {
	image, err := guest.Build(ctx, guest.Options{
		CacheDir: h.guestCache(), Kernel: kernel, ModulesDir: modules,
		Log: func(line string) { say("  %s", line) },
	})
	if err != nil {
		return guest.Image{}, &problem.Error{
			Code: problem.Failed, What: "cannot build the lab guest", Where: h.guestCache(), Why: err,
			Do: "or boot your own: qemu: {kernel: …, initrd: …} or {disk: …} in shelf.yaml",
		}
	}
	return image, nil
}

// checkPorts makes sure that nobody else has the ports of replicas that do not
// run. All else about a port is for the replica to say.
func (l *Lab) checkPorts() error {
	if l.Compact {
		return nil // nobody listens there
	}
	for i, name := range l.replicaNames() {
		if l.runs(name) {
			continue
		}
		ln, err := net.Listen("tcp", l.address(i))
		if err != nil {
			return &problem.Error{
				Code: problem.Failed, What: fmt.Sprintf("replica %s cannot have port %d", name, l.Ports[i]),
				Where: l.address(i), Why: err,
				Do: "end what listens there (ss -ltnp), or set ports in shelf.yaml",
			}
		}
		ln.Close()
	}
	return nil
}

// checkVMs makes sure that what the VMs need is there, so that up says it at
// once and not after a long wait for a guest.
func (l *Lab) checkVMs() error {
	for _, n := range l.Topology.Nodes {
		if n.QEMU.None {
			continue
		}
		spec, err := l.vmSpec(n)
		if err == nil {
			err = power.CheckFiles(spec)
		}
		if err != nil {
			return &problem.Error{
				Code: problem.Failed, What: "the VM of node " + n.Name + " cannot start", Why: err, Do: "mend its qemu in shelf.yaml",
			}
		}
	}
	return nil
}
