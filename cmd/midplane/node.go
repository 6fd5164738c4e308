package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/midplane-project/midplane/api"
	"github.com/midplane-project/midplane/internal/link"
	"github.com/midplane-project/midplane/internal/port"
	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/internal/trust"
	"github.com/midplane-project/midplane/node"
)

// nodeVerb is midplane node: the daemon of one VM.
func (a *app) nodeVerb() *cobra.Command {
	var (
		f          daemonFlags
		c          node.Config
		standalone bool
		takeOver   bool
		vms        []string
		replicas   []string
	)
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Run the controller of one VM (a daemon)",
		Long: `Run the controller of one VM: the local BMC that QEMU's ipmi-bmc-extern device
connects to, attached to the replicas of its shelf.

With --standalone it is a plain server's BMC without a shelf or certificates.`,
		Example: `  midplane node --standalone --vm unix:/tmp/bmc.sock
  midplane node --shelf lab --slot 3 --name db --replica shm1=10.0.0.1:7001 \
      --pki /etc/midplane/pki --dir /var/lib/midplane/db --vm unix:/run/midplane/db.sock`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := f.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			c.Shelf = a.shelf
			cfg, err := nodeConfig(cmd, &f, c, vms, replicas, standalone)
			if err != nil {
				return err
			}
			frugal()
			fewProcessors(cfg)
			return runNode(cmd.Context(), cfg, takeOver, log)
		},
	}
	f.add(cmd)
	cmd.AddCommand(a.nodeRepairVerb())
	fl := cmd.Flags()
	fl.BoolVar(&takeOver, "take-over", false, "replace the node that runs with this configuration; its guest sees no interruption")
	fl.BoolVar(&standalone, "standalone", false, "a server's BMC: no shelf, no certificates")
	fl.IntVar(&c.Slot, "slot", 0, "the slot; its IPMB address is 0x80 + 2×slot")
	fl.StringVar(&c.Name, "name", "", "the node's name")
	fl.StringVar(&c.Profile, "profile", node.ProfileATCA, "atca, server or fan-tray")
	fl.StringVar(&c.Interface, "interface", "kcs", "system interface: kcs, bt, pci-kcs, pci-bt or ssif")
	fl.StringVar(&c.Dir, "dir", "", "where the node keeps its state (default with --standalone: ./midplane-node)")
	fl.StringArrayVar(&vms, "vm", nil, "listen for the VM at `unix:PATH|tcp:HOST:PORT` (may be repeated)")
	fl.Func("serial", "a serial port, `MODE[,PRIVILEGE]=pty:PATH|unix:PATH|tcp:IP:PORT`: terminal, basic, direct or radisys, and what may be done without a session (may be repeated)", func(s string) error {
		p, err := node.ParseSerialPort(s)
		c.Serial = append(c.Serial, p)
		return err
	})
	fl.StringArrayVar(&replicas, "replica", nil, "a shelf manager, `NAME=HOST:PORT` (may be repeated)")
	fl.StringVar(&c.PKI, "pki", "", "directory with the node's certificate")
	fl.StringVar(&c.Template, "template", "", "a `FILE` that says which sensors and FRU devices there are")
	fl.IntVar(&c.SEL.Capacity, "sel-capacity", node.DefaultSELCapacity, "`RECORDS` that the event log holds")
	fl.StringVar(&c.SEL.Overflow, "sel-overflow", node.SELOldest, "when the event log is full: oldest (goes) or refuse (one more)")
	fl.StringVar(&c.LAN.Listen, "lan", "", "serve RMCP+ (ipmitool -I lanplus) at `IP:PORT`; the administrator's password is in lan-password in --dir")
	fl.IntSliceVar(&c.LAN.Suites, "lan-suites", nil, "cipher suites of the LAN door by `ID`, the better first (default 17,3; also 8 and 12)")
	fl.BoolVar(&c.LAN.Unsafe, "lan-unsafe-suites", false, "let --lan-suites have 2, 1 and 0 too, whose messages can be read or forged; each start warns of it")
	fl.StringSliceVar(&c.LAN.V15, "lan-v15", nil, "also serve IPMI 1.5 sessions (ipmitool -I lan) with auth `TYPE` md5, password; each start warns of it")
	fl.StringVar(&c.API, "api", "", "serve the node's gRPC API at `unix:PATH`")
	return cmd
}

// nodeConfig puts file and flags together: what stands on the command line wins.
func nodeConfig(cmd *cobra.Command, f *daemonFlags, flags node.Config, vms, replicas []string, standalone bool) (node.Config, error) {
	c := flags
	if f.config != "" {
		file, err := node.ReadConfig(f.config)
		if err != nil {
			return c, unread(err)
		}
		c = overlay(cmd, *file, flags)
		c.Profile, c.Interface = cmp.Or(c.Profile, flags.Profile), cmp.Or(c.Interface, flags.Interface) // which have defaults
	}
	for _, of := range []string{"lan-suites", "lan-unsafe-suites", "lan-v15"} {
		if c.LAN.Listen == "" && cmd.Flags().Changed(of) {
			return c, problem.Usagef("--%s: there is no LAN door without --lan", of)
		}
	}
	if c.Profile == node.ProfileFanTray && !cmd.Flags().Changed("interface") {
		c.Interface = "" // the flag's default is a board's
	}
	for _, v := range vms {
		l, err := node.ParseListen(v)
		if err != nil {
			return c, problem.Usagef("--vm %v", err)
		}
		c.Listen = append(c.Listen, l)
	}
	for _, r := range replicas {
		name, addr, ok := strings.Cut(r, "=")
		if !ok {
			return c, problem.Usagef("--replica %q: want NAME=HOST:PORT", r)
		}
		c.Replicas = append(c.Replicas, node.Replica{Name: name, Address: addr})
	}
	if standalone {
		c.Shelf, c.Profile = "", node.ProfileServer
		if c.Dir == "" {
			c.Dir = "midplane-node"
		}
	} else if c.Shelf == "" {
		return c, problem.Usagef("--shelf is needed, or --standalone")
	}
	return c, f.blame(cmd, c.Check(), nodeFlags)
}

// nodeFlags are the flags for keys of a node's file.
var nodeFlags = map[string]string{
	"slot": "slot", "profile": "profile", "interface": "interface", "dir": "dir", "replicas": "replica", "pki": "pki",
	"lan: listen": "lan", "lan: suites": "lan-suites", "lan: v15": "lan-v15", "serial": "serial", "sel: capacity": "sel-capacity", "sel: overflow": "sel-overflow",
}

// overlay takes the flags that were given over the file's values.
func overlay(cmd *cobra.Command, file, flags node.Config) node.Config {
	for name, take := range map[string]func(){
		"shelf": func() { file.Shelf = flags.Shelf }, "slot": func() { file.Slot = flags.Slot },
		"name": func() { file.Name = flags.Name }, "profile": func() { file.Profile = flags.Profile },
		"interface": func() { file.Interface = flags.Interface }, "dir": func() { file.Dir = flags.Dir },
		"pki": func() { file.PKI = flags.PKI }, "api": func() { file.API = flags.API }, "lan": func() { file.LAN.Listen = flags.LAN.Listen },
		"lan-suites": func() { file.LAN.Suites = flags.LAN.Suites }, "lan-v15": func() { file.LAN.V15 = flags.LAN.V15 },
		"lan-unsafe-suites": func() { file.LAN.Unsafe = flags.LAN.Unsafe },
		"template":          func() { file.Template = flags.Template },
		"sel-capacity":      func() { file.SEL.Capacity = flags.SEL.Capacity }, "sel-overflow": func() { file.SEL.Overflow = flags.SEL.Overflow },
		"serial": func() { file.Serial = append(file.Serial, flags.Serial...) },
	} {
		if cmd.Flags().Changed(name) {
			take()
		}
	}
	return file
}

// runNode is a daemon with one node. With takeOver it goes on where the one
// that runs stops, if one does.
func runNode(ctx context.Context, cfg node.Config, takeOver bool, log *slog.Logger) error {
	opt := node.Options{Log: log}
	var err error
	if opt.Dial, err = nodeDialer(cfg); err != nil {
		return err
	}
	if takeOver {
		if opt.Handover, err = node.TakeOver(ctx, cfg); err != nil {
			log.Warn("starting without the running node's connection to its VM", "err", err)
		}
		defer opt.Handover.Close()
	}
	if opt.Successor, err = node.ListenSuccessor(cfg); err != nil {
		return fmt.Errorf("node %s: %w", cmp.Or(cfg.Name, cfg.Dir), err) // a server's has no name
	}
	defer opt.Successor.Close()
	defer notify("STOPPING=1")
	err = serveNode(ctx, cfg, opt, func() { notify("READY=1") })
	if errors.Is(err, node.ErrHandedOver) {
		log.Info("handed over")
		return nil
	}
	return err
}

// serveNode serves until ctx ends: API first, so that the node can be asked
// while it attaches; the doors last to go, so that the guest notices least.
func serveNode(ctx context.Context, cfg node.Config, opt node.Options, ready func()) (err error) {
	n, err := node.New(cfg, opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	g, ctx := errgroup.WithContext(ctx)
	if cfg.API != "" {
		s, ln, err := nodeAPI(cfg, n)
		if err != nil {
			return err
		}
		g.Go(func() error { return s.Serve(ln) })
		g.Go(func() error { <-ctx.Done(); n.LeaveGuest(); s.Stop(); return nil })
	}
	g.Go(func() error { return n.Run(ctx) })
	ready()
	forgetStart()
	return g.Wait()
}

func nodeDialer(cfg node.Config) (link.Dialer, error) {
	if cfg.Standalone() {
		return nil, nil
	}
	creds, err := trust.LoadCredentials(cfg.PKI, fmt.Sprintf("node/%s/%d", cfg.Shelf, cfg.Slot))
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", cfg.Name, err)
	}
	return func(_ context.Context, addr string) (link.Conn, error) {
		cc, err := grpc.NewClient("passthrough:///"+addr, append(port.BusDial(),
			grpc.WithTransportCredentials(port.DialCredentials(creds, trust.ProtoBus, trust.Identity{Role: trust.Replica})))...)
		if err != nil {
			return nil, err
		}
		return link.OverGRPC(cc), nil
	}, nil
}

func nodeAPI(cfg node.Config, n *node.Node) (*grpc.Server, net.Listener, error) {
	path, ok := strings.CutPrefix(cfg.API, "unix:")
	if !ok {
		return nil, nil, fmt.Errorf("api: %q is not unix:PATH", cfg.API)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, nil, err
	}
	ln, err := port.ListenUnix(path, 0o600, "")
	if err != nil {
		return nil, nil, err
	}
	s := grpc.NewServer(append(api.NodePolicy.ServerOptions(), grpc.Creds(port.Credentials()))...)
	api.RegisterNode(s, n)
	return s, ln, nil
}
