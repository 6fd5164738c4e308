package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/midplane-project/midplane/internal/lanclient"
	"github.com/midplane-project/midplane/node"
)

// What one round of serial over LAN carries for each request of other rounds.
// Of what the system says the last characters are not timed: a controller waits
// for more of them before it sends so few.
const (
	saidBytes  = 256
	typedBytes = 8
	untimed    = 4 << 10
)

// solPort is a serial port: the system's end of it, and the console's.
type solPort struct {
	*lanDoor
	system net.Conn
	client *lanclient.Client
	line   *lanclient.SOL
	lost   int // characters, in all
}

// sol measures serial over LAN, each way: how fast, and how many characters do
// not come.
func (b *bench) sol(ctx context.Context) error {
	var lost [2]float64
	for _, p := range places {
		for _, w := range ways {
			if err := b.solIn(ctx, p, w, &lost); err != nil {
				return err
			}
		}
	}
	b.report.add(&measurement{
		Name: "SOL characters lost, either way", Unit: "characters", Guests: "none",
		Midplane: single(lost[0]), Peer: single(lost[1]), Required: []bound{atMost("max", 0)},
	})
	return nil
}

// way is one direction of serial over LAN.
type way struct {
	name  string
	bytes int // of a round, for each request of other rounds
	carry func(*solPort, context.Context, []byte) (float64, error)
}

var ways = []way{
	{"SOL, system to console", saidBytes, (*solPort).said},
	{"SOL, console to system", typedBytes, (*solPort).typed},
}

func (b *bench) solIn(ctx context.Context, p place, w way, lost *[2]float64) error {
	var ports []*solPort
	defer func() {
		for _, s := range ports {
			s.close()
		}
	}()
	for _, start := range []func(context.Context, place) (*solPort, error){b.solNode, b.solSim} {
		s, err := start(ctx, p)
		if err != nil {
			return err
		}
		ports = append(ports, s)
	}
	rates, err := b.solTurns(ctx, p, ports, b.requests*w.bytes, w.carry)
	if err != nil {
		return fmt.Errorf("%s: %w", w.name, err)
	}
	b.report.add(&measurement{
		Name: w.name + ", suite 3", Unit: "MB/s", Guests: "none", Pinned: p.pinned,
		Midplane: single(rates[0]...), Peer: single(rates[1]...), Required: []bound{atLeast("peer", 1)},
		Note: fmt.Sprintf("a packet to the controller has at most %d characters, to the peer %d", ports[0].line.Room, ports[1].line.Room),
	})
	for i, s := range ports {
		lost[i] += float64(s.lost)
	}
	return nil
}

// solTurns lets the ports take turns with a text of so many characters, another
// one in each round, and gives the rounds' rates in MB/s.
func (b *bench) solTurns(ctx context.Context, p place, ports []*solPort, n int, carry func(*solPort, context.Context, []byte) (float64, error)) ([][]float64, error) {
	rates := make([][]float64, len(ports))
	return rates, p.on(func() error {
		for round := range b.rounds + 1 {
			text := counted(round, n)
			for i, s := range ports {
				if s.lost > 0 { // it may have stopped for good: each round more would only wait
					continue
				}
				rate, err := carry(s, ctx, text)
				if err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
				if round > 0 || s.lost > 0 { // the first one warms up
					rates[i] = append(rates[i], rate)
				}
			}
		}
		return nil
	})
}

// counted is a text of a round's, in which every character's place can be told.
func counted(round, n int) []byte {
	b := make([]byte, 0, n+12)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "%c %08d\r\n", 'A'+rune(round%26), i)
	}
	return b[:n]
}

// missing counts the characters of a text that did not come. That others came,
// or some of them twice or out of order, is an error.
func missing(text, got []byte) (int, error) {
	at := 0
	for i, c := range got {
		for at < len(text) && text[at] != c {
			at++
		}
		if at == len(text) {
			return 0, fmt.Errorf("character %d of %d is none of the text's, or comes again", i, len(got))
		}
		at++
	}
	return len(text) - len(got), nil
}

func megabytes(n int, d time.Duration) float64 { return float64(n) / 1e6 / d.Seconds() }

// said lets the system say a text, and gives how fast it comes.
func (s *solPort) said(ctx context.Context, text []byte) (float64, error) {
	ended := make(chan error, 1)
	began := time.Now()
	go func() {
		_, err := s.system.Write(text)
		ended <- err
	}()
	got := make([]byte, 0, len(text))
	timed, took := 0, time.Duration(0)
	for len(got) < len(text) {
		p, err := s.line.Read(ctx)
		if errors.Is(err, lanclient.ErrNoAnswer) {
			break // the rest is lost
		}
		if err != nil {
			return 0, err
		}
		if got = append(got, p...); len(got) < len(text)-untimed || timed == 0 {
			timed, took = len(got), time.Since(began)
		}
	}
	lost, err := missing(text, got)
	s.lost += lost
	return megabytes(timed, took), errors.Join(err, <-ended)
}

// typed types a text at the console, and gives how fast the system has it.
func (s *solPort) typed(ctx context.Context, text []byte) (float64, error) {
	type heard struct {
		bytes []byte
		took  time.Duration
		err   error
	}
	ended := make(chan heard, 1)
	began := time.Now()
	go func() {
		got := make([]byte, len(text))
		n, err := io.ReadFull(s.system, got)
		ended <- heard{got[:n], time.Since(began), err}
	}()
	if err := s.system.SetReadDeadline(began.Add(time.Minute)); err != nil {
		return 0, err
	}
	patience := readSeconds * time.Second // with what is on its way
	if _, err := s.line.Write(ctx, text); errors.Is(err, lanclient.ErrNoAnswer) {
		patience = 0 // the rest is lost
	} else if err != nil {
		_ = s.system.SetReadDeadline(time.Now())
		<-ended
		return 0, err
	}
	if err := s.system.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	h := <-ended
	if h.err != nil && !errors.Is(h.err, os.ErrDeadlineExceeded) {
		return 0, h.err
	}
	lost, err := missing(text, h.bytes)
	s.lost += lost
	return megabytes(len(h.bytes), h.took), err
}

func (s *solPort) close() {
	if s.client != nil {
		_ = s.client.Close(context.Background())
	}
	s.kill()
	_ = s.system.Close()
}

// solOn starts a controller with a serial port whose system listens, and opens it.
func solOn(ctx context.Context, network, addr string, start func(addr string) (*lanDoor, error)) (*solPort, error) {
	ln, err := net.Listen(network, addr)
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	d, err := start(ln.Addr().String())
	if err != nil {
		return nil, err
	}
	s := &solPort{lanDoor: d}
	if s.system, err = accept(ln); err != nil {
		d.kill()
		return nil, fmt.Errorf("%s does not come to its serial port: %w", d.name, err)
	}
	if s.client, err = d.dial(ctx); err == nil {
		s.line, err = s.client.ActivateSOL(ctx)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	return s, nil
}

// accept takes the first connection, if it comes in time.
func accept(ln net.Listener) (net.Conn, error) {
	if err := ln.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(startPatience)); err != nil {
		return nil, err
	}
	return ln.Accept()
}

// solNode is a standalone node with the console of a VM of one's own.
func (b *bench) solNode(ctx context.Context, p place) (*solPort, error) {
	dir, err := os.MkdirTemp(b.dir, "sol")
	if err != nil {
		return nil, err
	}
	return solOn(ctx, "unix", filepath.Join(dir, "con"), func(addr string) (*lanDoor, error) {
		lan, err := freeUDPPort()
		if err != nil {
			return nil, err
		}
		c := node.Config{
			Profile: node.ProfileServer, Interface: "kcs", Dir: dir, Listen: []node.Listen{{Address: "unix:" + filepath.Join(dir, "vm")}},
			LAN: node.LANDoor{Listen: lan}, Console: &node.Console{Socket: addr},
		}
		config := filepath.Join(dir, "node.json")
		if err := save(config, c); err != nil {
			return nil, err
		}
		pr, err := b.start(p, "sol-node", nil, b.bin, "node", "--standalone", "--config", config)
		if err != nil {
			return nil, err
		}
		password, err := passwordOf(ctx, pr, dir)
		if err != nil {
			pr.kill()
			return nil, err
		}
		return &lanDoor{process: pr, addr: lan, who: lanclient.Credentials{Suite: lanclient.Suite3, User: node.LANUser, Password: password}}, nil
	})
}

// solSim is ipmi_sim with a serial port. It goes by TCP: of sockets it knows no
// others.
func (b *bench) solSim(ctx context.Context, p place) (*solPort, error) {
	return solOn(ctx, "tcp", "127.0.0.1:0", func(addr string) (*lanDoor, error) {
		s, err := b.startSim(p, 0, fmt.Sprintf("  sol \"tcp:%s\" 115200\n", addr))
		if err != nil {
			return nil, err
		}
		return s.door(s.lans[0]), nil
	})
}
