package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/internal/lanclient"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node"
)

// BenchmarkCompactLAN asks for a Device ID at a node's LAN door: its own, and by
// way of the switch the other node's. What allocates is the whole shelf and the client.
func BenchmarkCompactLAN(b *testing.B) {
	c, dir := compactLab(b)
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	c.Nodes[0].LAN.Listen = free.LocalAddr().String()
	if err := free.Close(); err != nil {
		b.Fatal(err)
	}
	before := runtime.GOMAXPROCS(1)
	b.Cleanup(func() { runtime.GOMAXPROCS(before) }) // as the daemon has it
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- newCompact(&c, slog.New(slog.DiscardHandler)).run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}()
	client := benchLogin(ctx, b, c.Nodes[0].LAN.Listen, filepath.Join(dir, "blade1", node.LANPasswordFile))
	for name, ask := range map[string]func() error{
		"own": func() error {
			_, err := client.Do(ctx, ipmb.NetFnApp, ipmb.CmdGetDeviceID)
			return err
		},
		"bridged": func() error {
			_, err := client.Bridge(ctx, ipmb.SlotAddr(2), ipmb.NetFnApp, ipmb.CmdGetDeviceID)
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for patience := time.Now().Add(compactPatience); ask() != nil; {
				if time.Now().After(patience) {
					b.Fatal(ask())
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := ask(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// benchLogin logs in as the administrator that the node makes when it starts.
func benchLogin(ctx context.Context, b *testing.B, addr, passwordFile string) *lanclient.Client {
	b.Helper()
	for patience := time.Now().Add(compactPatience); ; {
		password, err := os.ReadFile(passwordFile)
		if err == nil {
			who := lanclient.Credentials{Suite: lanclient.Suite3, User: node.LANUser, Password: strings.TrimSpace(string(password))}
			var c *lanclient.Client
			if c, err = lanclient.Dial(ctx, addr, who); err == nil {
				return c
			}
		}
		if time.Now().After(patience) {
			b.Fatal(err)
		}
	}
}
