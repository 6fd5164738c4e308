//go:build e2e

package vm_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm"
)

// directions are the two ways of connecting: each gives QEMU's chardev
// arguments and a function that lets a door serve it until it is closed.
func directions(t *testing.T) map[string]struct {
	chardev string
	serve   func(*vm.Door) error
} {
	dir := t.TempDir()
	type way = struct {
		chardev string
		serve   func(*vm.Door) error
	}
	client, server := filepath.Join(dir, "node.sock"), filepath.Join(dir, "qemu.sock")
	return map[string]way{
		"QEMU is client": {"path=" + client + ",reconnect=1", func(d *vm.Door) error {
			ln, err := net.Listen("unix", client)
			if err != nil {
				return err
			}
			return d.Serve(context.Background(), ln)
		}},
		"QEMU is server": {"path=" + server + ",server=on,wait=off", func(d *vm.Door) error {
			return d.Dial(context.Background(), "unix", server)
		}},
	}
}

// run lets a door serve and waits for the VM's greeting.
func run(t *testing.T, h ipmb.Handler, serve func(*vm.Door) error) *vm.Door {
	t.Helper()
	connected := make(chan vm.Link, 10)
	d := vm.New(vm.Config{Handler: h, OnConnect: func(l vm.Link) { connected <- l }})
	done := make(chan error, 1)
	go func() { done <- serve(d) }()
	t.Cleanup(func() {
		_ = d.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case l := <-connected:
		if l.Capabilities != vm.CapAll {
			t.Errorf("capabilities %v, want all", l.Capabilities)
		}
	case <-time.After(patience):
		t.Fatal("QEMU did not greet")
	}
	return d
}

func TestQEMU(t *testing.T) {
	for name, way := range directions(t) {
		t.Run(name, func(t *testing.T) {
			q := startQEMU(t, way.chardev)
			first := run(t, echo, way.serve)
			q.wantEcho(0x01)
			first.SetAttention(true)
			q.waitLine(true)
			_ = first.Close()
			q.waitLine(false)
			if got := q.kcs(0x18, 0x01); string(got) != "\x1c\x01\xd2" {
				t.Errorf("without a node: % x", got)
			}
			d := run(t, echo, way.serve)
			for i := range 300 { // the device's number passes the escaped ones
				q.wantEcho(byte(i))
			}
			q.powers(d)
		})
	}
}

// TestQEMUMistells: QEMU's own answer to a request that is late goes astray when
// its number is escaped, and the interface would stay busy for ever.
func TestQEMUMistells(t *testing.T) {
	path, release := filepath.Join(t.TempDir(), "qemu.sock"), make(chan struct{})
	defer close(release)
	q := startQEMU(t, "path="+path+",server=on,wait=off")
	d := run(t, held(release), func(d *vm.Door) error { return d.Dial(context.Background(), "unix", path) })
	for seq := range 0x100 { // the device counts from 0
		switch seq {
		case 0x9f, 0xa0, 0xa1, 0xaa:
			if seq == 0xa1 { // once by a fault
				if _, err := d.Inject(vm.Fault{Kind: vm.FaultDrop, Match: true, NetFn: ipmb.NetFnApp, Cmd: 0x7d, Count: 1}); err != nil {
					t.Fatal(err)
				}
				if got := q.kcs(0x18, 0x7d); string(got) != "\x1c\x7d\xc3" {
					t.Errorf("dropped answer to number %02x: % x", seq, got)
				}
				continue
			}
			if got := q.kcs(0x18, byte(slowCommand)); string(got) != "\x1c\x7e\xc3" {
				t.Errorf("late answer to number %02x: % x", seq, got)
			}
		default:
			q.wantEcho(byte(seq))
		}
	}
}

func (q *qemu) wantEcho(b byte) {
	q.t.Helper()
	if got, want := q.kcs(0x18, 0x01, b), []byte{0x1c, 0x01, 0x00, 0x01, b}; string(got) != string(want) {
		q.t.Fatalf("answer % x, want % x", got, want)
	}
}

// powers sends each hardware command and sees what QEMU does.
func (q *qemu) powers(d *vm.Door) {
	q.t.Helper()
	for _, c := range []struct {
		command vm.Command
		event   string
	}{{vm.CommandGracefulPower, "POWERDOWN"}, {vm.CommandReset, "RESET"}, {vm.CommandPowerOff, "SHUTDOWN"}} {
		if err := d.Hardware(c.command); err != nil {
			q.t.Error(err)
		}
		q.waitEvent(c.event)
	}
	for range q.lines {
	}
	if err := <-q.exited; err != nil {
		q.t.Errorf("QEMU after power off: %v", err)
	}
}

// TestQEMUHandover hands a real QEMU's connection from one door to the next.
func TestQEMUHandover(t *testing.T) {
	path := filepath.Join(t.TempDir(), "qemu.sock")
	q := startQEMU(t, "path="+path+",server=on,wait=off")
	d := run(t, echo, func(d *vm.Door) error { return d.Dial(context.Background(), "unix", path) })
	for i := range 5 {
		q.wantEcho(byte(i))
		d.SetAttention(true)
		d = handOver(t, deadline(t), d, vm.Config{Handler: echo})
		q.waitLine(true)
		d.SetAttention(false)
		q.waitLine(false)
	}
	q.wantEcho(9)
}

// migrate brings the VM of one QEMU into a second one while a request is under
// way: the second waits for an answer that it never asked for, without a timeout.
func migrate(t *testing.T, path string) (source, destination *qemu) {
	t.Helper()
	chardev, incoming := "path="+path+",reconnect=1", "unix:"+path+".migrate"
	source, destination = startQEMU(t, chardev), startQEMU(t, chardev, "-incoming", incoming)
	source.waitConnected()
	destination.waitConnected()
	source.put(kcsStatus, kcsStart)
	source.put(kcsData, 0x18)
	source.put(kcsStatus, kcsEnd)
	source.outb(kcsData, int(slowCommand))
	source.execute("migrate", map[string]any{"uri": incoming})
	destination.waitEvent("RESUME")
	return source, destination
}

// wedged expects the interface to stay busy.
func (q *qemu) wedged() {
	q.t.Helper()
	for range 10 {
		if q.inb(kcsStatus)&kcsBusy == 0 {
			q.t.Fatal("the interface is not busy: this test shows nothing")
		}
	}
}

const slowCommand ipmb.Cmd = 0x7e

// held echoes, but lets slowCommand wait for release.
func held(release <-chan struct{}) ipmb.Handler {
	return ipmb.HandlerFunc(func(ctx context.Context, r *ipmb.Request) ipmb.Response {
		if r.Cmd == slowCommand {
			<-release
		}
		return echo(ctx, r)
	})
}

func listenOn(path string) func(*vm.Door) error {
	return func(d *vm.Door) error {
		ln, err := net.Listen("unix", path)
		if err != nil {
			return err
		}
		return d.Serve(context.Background(), ln)
	}
}

// TestQEMUMigration: the answer goes to the source, since that is still
// there, and once more to the destination when it is alone.
func TestQEMUMigration(t *testing.T) {
	path, release := filepath.Join(t.TempDir(), "node.sock"), make(chan struct{})
	d := vm.New(vm.Config{Handler: held(release)})
	t.Cleanup(func() { _ = d.Close() })
	go func() { _ = listenOn(path)(d) }()
	source, q := migrate(t, path)
	release <- struct{}{}
	q.wedged()
	source.execute("quit", nil)
	if got := q.finish(); string(got) != "\x1c\x7e\x00\x7e" {
		t.Errorf("after the migration: % x", got)
	}
	q.wantEcho(2)
}

// TestQEMUKick: a node that knows nothing of the request that its predecessor
// did not answer frees the interface all the same.
func TestQEMUKick(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.sock")
	kill := deafNode(t, path)
	source, q := migrate(t, path)
	source.execute("quit", nil)
	kill()
	run(t, echo, listenOn(path))
	q.wedged()
	if got := q.finish(); string(got) != "\x1c\x01\xd2" {
		t.Errorf("after the kick: % x", got)
	}
	q.wantEcho(2)
}

// deafNode accepts VMs and answers nothing, until it is killed.
func deafNode(t *testing.T, path string) (kill func()) {
	t.Helper()
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan []net.Conn)
	go func() {
		var all []net.Conn
		for {
			conn, err := ln.Accept()
			if err != nil {
				conns <- all
				return
			}
			all = append(all, conn)
		}
	}()
	return func() {
		_ = ln.Close()
		for _, c := range <-conns {
			_ = c.Close()
		}
	}
}
