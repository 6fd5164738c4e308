package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/midplane-project/midplane/internal/lanclient"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/rmcp"
	"github.com/midplane-project/midplane/node"
)

// manySessions is how many talk at once: as many as Get Session Info has bits
// for, which is how many a node's door has, and ipmi_sim.
const manySessions = rmcp.MaxSessions

// simPassword is the administrator's in ipmi_sim.
const simPassword = "secret"

// lanDoor is a LAN door and who may log in there.
type lanDoor struct {
	*process
	addr  string
	who   lanclient.Credentials
	other ipmb.Addr // whom it bridges to
}

// lan measures the LAN door: logins, requests in a session and in many.
func (b *bench) lan(ctx context.Context) error {
	for _, p := range places {
		if err := b.lanIn(ctx, p); err != nil {
			return err
		}
		if err := b.lanBridgeIn(ctx, p); err != nil {
			return err
		}
	}
	if err := b.lanCores(ctx); err != nil {
		return err
	}
	return b.lanIdle(ctx)
}

func (b *bench) lanIn(ctx context.Context, p place) error {
	var doors []*lanDoor
	defer func() {
		for _, d := range doors {
			d.kill()
		}
	}()
	for _, start := range []func() (*lanDoor, error){
		func() (*lanDoor, error) { return b.lanNode(p, lanclient.Suite3) },
		func() (*lanDoor, error) { return b.lanNode(p, lanclient.Suite17) },
		func() (*lanDoor, error) { return b.lanSim(p) },
	} {
		d, err := start()
		if err != nil {
			return err
		}
		doors = append(doors, d)
	}
	for _, one := range []struct {
		name     string
		requests int
		side     func(context.Context, *lanDoor) (side, error)
	}{
		{"LAN session, opened and closed", b.requests / 4, login},
		{"LAN Get Device ID, 1 session", b.requests, inSession},
	} {
		got, err := b.lanTurns(ctx, p, one.requests, one.side, doors)
		if err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
		peer := summarise(micros, got[2]...)
		b.report.add(&measurement{
			Name: one.name + ", suite 3", Unit: micros, Guests: "none", Pinned: p.pinned,
			Midplane: summarise(micros, got[0]...), Peer: peer, Required: []bound{atMost("peer", 1)},
		})
		b.report.add(&measurement{
			Name: one.name + ", suite 17", Unit: micros, Guests: "none", Pinned: p.pinned,
			Midplane: summarise(micros, got[1]...), Peer: peer, Note: "the peer's is suite 3; it has no 17",
		})
	}
	return b.lanMany(ctx, p, doors)
}

// lanTurns lets sides at the doors take turns.
func (b *bench) lanTurns(ctx context.Context, p place, requests int, at func(context.Context, *lanDoor) (side, error), doors []*lanDoor) ([][]sample, error) {
	var sides []side
	defer func() { endAll(sides) }()
	for _, d := range doors {
		s, err := at(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.name, err)
		}
		sides = append(sides, s)
	}
	return b.turns(p, requests, sides...)
}

// dial logs in, as soon as the door is open.
func (d *lanDoor) dial(ctx context.Context) (c *lanclient.Client, err error) {
	err = d.until(ctx, startPatience, func() error {
		conn, err := dialUDP(d.addr)
		if err != nil {
			return err
		}
		c, err = lanclient.Over(ctx, conn, d.who)
		return err
	})
	return c, err
}

// crowd logs in as often as may be.
func (d *lanDoor) crowd(ctx context.Context) (c *lanclient.Crowd, err error) {
	err = d.until(ctx, startPatience, func() error {
		conn, err := dialUDP(d.addr)
		if err != nil {
			return err
		}
		c, err = lanclient.NewCrowd(ctx, conn, d.who, manySessions)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	return c, nil
}

// login opens a session and closes it.
func login(ctx context.Context, d *lanDoor) (side, error) {
	once := func() error {
		conn, err := dialUDP(d.addr)
		if err != nil {
			return err
		}
		c, err := lanclient.Over(ctx, conn, d.who)
		if err != nil {
			return err
		}
		return c.Close(ctx)
	}
	return side{d.name, once, func() {}}, d.until(ctx, startPatience, once)
}

// inSession asks for the Device ID in one session.
func inSession(ctx context.Context, d *lanDoor) (side, error) {
	c, err := d.dial(ctx)
	if err != nil {
		return side{}, err
	}
	ask := func() error {
		_, err := c.Do(ctx, ipmb.NetFnApp, ipmb.CmdGetDeviceID)
		return err
	}
	return side{d.name, ask, func() { _ = c.Close(ctx) }}, nil
}

// lanMany measures how many requests a second are answered to many sessions.
func (b *bench) lanMany(ctx context.Context, p place, doors []*lanDoor) error {
	rates, err := b.lanRates(ctx, p, doors)
	if err != nil {
		return err
	}
	peer := single(rates[2]...)
	name := fmt.Sprintf("LAN Get Device ID, %d sessions", manySessions)
	b.report.add(&measurement{
		Name: name + ", suite 3", Unit: "1/s", Guests: "none", Pinned: p.pinned,
		Midplane: single(rates[0]...), Peer: peer, Required: []bound{atLeast("peer", 1)},
	})
	b.report.add(&measurement{
		Name: name + ", suite 17", Unit: "1/s", Guests: "none", Pinned: p.pinned,
		Midplane: single(rates[1]...), Peer: peer, Note: "the peer's is suite 3; it has no 17",
	})
	return nil
}

// atAll logs a crowd in at each door; leave ends them all, also after an error.
func atAll(ctx context.Context, doors []*lanDoor) (crowds []*lanclient.Crowd, leave func(), err error) {
	leave = func() {
		for _, c := range crowds {
			_ = c.Close(ctx)
		}
	}
	for _, d := range doors {
		c, err := d.crowd(ctx)
		if err != nil {
			return crowds, leave, err
		}
		crowds = append(crowds, c)
	}
	return crowds, leave, nil
}

// lanRates lets a crowd at each door take turns, and gives the rounds' rates.
func (b *bench) lanRates(ctx context.Context, p place, doors []*lanDoor) ([][]float64, error) {
	crowds, leave, err := atAll(ctx, doors)
	defer leave()
	if err != nil {
		return nil, err
	}
	rates := make([][]float64, len(doors))
	return rates, p.on(func() error {
		for round := range b.rounds + 1 {
			for i, c := range crowds {
				began := time.Now()
				took, err := c.Ask(ctx, 4*b.requests/manySessions, ipmb.NetFnApp, ipmb.CmdGetDeviceID)
				if err != nil {
					return fmt.Errorf("%s: %w", doors[i].name, err)
				}
				if round > 0 { // the first one warms up
					rates[i] = append(rates[i], float64(len(took))/time.Since(began).Seconds())
				}
			}
		}
		return nil
	})
}

// lanNode starts a standalone node with a LAN door.
func (b *bench) lanNode(p place, s lanclient.Suite) (*lanDoor, error) {
	name := fmt.Sprintf("lan-node-%d", s)
	addr, err := freeUDPPort()
	if err != nil {
		return nil, err
	}
	vm, err := b.address("unix", name)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, name)
	if err != nil {
		return nil, err
	}
	pr, err := b.start(p, name, nil, b.bin, "node", "--standalone", "--vm", vm, "--dir", dir, "--lan", addr)
	if err != nil {
		return nil, err
	}
	password, err := passwordOf(context.Background(), pr, dir)
	if err != nil {
		pr.kill()
		return nil, err
	}
	return &lanDoor{process: pr, addr: addr, who: lanclient.Credentials{Suite: s, User: node.LANUser, Password: password}}, nil
}

// passwordOf waits for the administrator's first password, which a node makes.
func passwordOf(ctx context.Context, pr *process, dir string) (password string, err error) {
	err = pr.until(ctx, startPatience, func() error {
		raw, err := os.ReadFile(filepath.Join(dir, node.LANPasswordFile))
		if password = strings.TrimSpace(string(raw)); err == nil && password == "" {
			err = errors.New("no password yet")
		}
		return err
	})
	return password, err
}

func (b *bench) lanSim(p place) (*lanDoor, error) {
	s, err := b.startSim(p, 1)
	if err != nil {
		return nil, err
	}
	return s.door(s.lans[0]), nil
}

// door is the one at an address, of the BMC or of another controller.
func (s *sim) door(addr string) *lanDoor {
	who := lanclient.Credentials{Suite: lanclient.Suite3, User: node.LANUser, Password: simPassword}
	return &lanDoor{s.process, addr, who, ipmb.SlotAddr(1)}
}
