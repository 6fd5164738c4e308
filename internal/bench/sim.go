package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node"
)

// startPatience is how long a daemon may take before it answers.
const startPatience = 20 * time.Second

// sim is ipmi_sim with a BMC at 20h, whose guest listens at a TCP port, and
// further controllers beside it. Its guest can reach those; guests of other
// controllers get no answers from it, so there is nothing to compare with
// them.
type sim struct {
	*process
	addr string   // of the BMC's guest
	lans []string // of each controller's LAN, the BMC's first
}

// startSim writes ipmi_sim's two files and starts it with so many controllers
// beside the BMC, at 82h and on, and further lines of the BMC's in lan.conf.
func (b *bench) startSim(p place, others int, more ...string) (*sim, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	var lans []string
	for range 1 + others {
		lan, err := freeUDPPort()
		if err != nil {
			return nil, err
		}
		lans = append(lans, lan)
	}
	dir, err := os.MkdirTemp(b.dir, "sim-")
	if err != nil {
		return nil, err
	}
	lan, emu := filepath.Join(dir, "lan.conf"), filepath.Join(dir, "sim.emu")
	conf := append(simLAN(addr, lans...), "set_working_mc 0x20\n"+strings.Join(more, "")...)
	if err := os.WriteFile(lan, conf, 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(emu, simControllers(others), 0o600); err != nil {
		return nil, err
	}
	pr, err := b.start(p, "ipmi_sim", nil, "ipmi_sim", "-n", "-c", lan, "-f", emu, "-s", dir)
	if err != nil {
		return nil, fmt.Errorf("%w: it is in Debian's package openipmi", err)
	}
	return &sim{pr, "tcp:" + addr, lans}, nil
}

// simLAN is lan.conf: where the BMC's guest connects, and each controller's LAN
// with an administrator. Without a GUID nobody can log in.
func simLAN(guest string, lans ...string) (s []byte) {
	host, port, _ := net.SplitHostPort(guest)
	s = fmt.Appendf(s, "name \"bench\"\nset_working_mc 0x20\n  serial 15 %s %s codec VM\n", host, port)
	for i, lan := range lans {
		if i > 0 {
			s = fmt.Appendf(s, "set_working_mc 0x%02x\n", uint8(ipmb.SlotAddr(i)))
		}
		host, port, _ = net.SplitHostPort(lan)
		s = fmt.Appendf(s, "  startlan 1\n    addr %s %s\n    priv_limit admin\n    allowed_auths_admin md5\n", host, port)
		s = append(s, "    guid a123456789abcdefa123456789abcdef\n  endlan\n"...)
		s = fmt.Appendf(s, "  user 2 true %q %q admin %d md5\n", node.LANUser, simPassword, manySessions)
	}
	return s
}

func simControllers(others int) []byte {
	var s strings.Builder
	add := func(a ipmb.Addr) {
		fmt.Fprintf(&s, "mc_add 0x%02x 0 no-device-sdrs 0x23 9 8 0x9f 0 0\n", uint8(a))
		if a == ipmb.AddrShelfManager {
			fmt.Fprintf(&s, "sel_enable 0x%02x 1000 0x0a\n", uint8(a))
		}
		fmt.Fprintf(&s, "mc_enable 0x%02x\n", uint8(a))
	}
	s.WriteString("mc_setbmc 0x20\n")
	add(ipmb.AddrShelfManager)
	for i := range others {
		add(ipmb.SlotAddr(i + 1))
	}
	return []byte(s.String())
}

// guest connects as the guest of the BMC, and is the connection's only try
// that succeeds: ipmi_sim dies of a client that connects and goes.
func (p *process) guest(ctx context.Context, addr string) (g *guest, err error) {
	err = p.until(ctx, startPatience, func() (err error) {
		g, err = connect(addr)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("guest of %s: %w", p.name, err)
	}
	return g, nil
}
