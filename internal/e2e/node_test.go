//go:build e2e

package e2e_test

import (
	"fmt"
	"syscall"
	"testing"
)

// TestNodeRestarts ends a node again and again, half of the times without
// warning, while its guest hammers its BMC. The VM goes on, and the guest's
// driver is never wedged.
func TestNodeRestarts(t *testing.T) {
	s := blades.up(t)
	for _, b := range sides {
		t.Run(b.name, func(t *testing.T) {
			vm, boot := s.node(t, b.name).VmPid, s.bootID(t, b.name)
			s.one(t, b.name, "midplane-guest loop --local --for 1h </dev/null >/tmp/load 2>&1 &")
			defer s.guest(t, b.name, "kill $(pidof midplane-guest)")
			for i := range restarts(t) {
				s.restartNode(t, b.name, i%2 == 0)
				s.answers(t, b.name)
			}
			if now := s.node(t, b.name).VmPid; now != vm {
				t.Errorf("the VM is process %d after %d", now, vm)
			}
			if now := s.bootID(t, b.name); now != boot {
				t.Error("the guest has booted again")
			}
			s.one(t, b.name, "pidof midplane-guest") // the load has gone on all the time
		})
	}
	s.healthy(t)
	s.expect(t, "blade1", []says{{"ipmitool -b 0 -t 0x84 mc info", 0, `IPMI Version`}})
}

// restartNode ends a node by SIGKILL or SIGTERM, and waits for its successor.
func (s *shelf) restartNode(t *testing.T, node string, kill bool) {
	t.Helper()
	old := s.node(t, node).Pid
	if kill {
		s.do(t, "kill", "node/"+node)
		s.do(t, "start", "node/"+node)
	} else {
		signal(t, int(old), syscall.SIGTERM) // the supervisor starts it again
	}
	eventually(t, patience, "the node is back and has its VM", func() error {
		st, err := s.NodeStatus(t.Context(), node)
		switch {
		case err != nil:
			return err
		case st.Pid == old:
			return fmt.Errorf("the old process %d is still there", old)
		case st.VmState != "running" || !st.VmLink:
			return fmt.Errorf("its VM is %s, connected: %v", st.VmState, st.VmLink)
		}
		return nil
	})
}

// answers waits until the guest gets an answer from its BMC: a wedged driver
// never does.
func (s *shelf) answers(t *testing.T, node string) {
	t.Helper()
	eventually(t, patience, "the guest's driver works", func() error {
		if r := s.guest(t, node, "midplane-guest raw --timeout 10s 6 1")[0]; r.code != 0 {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
}

// TestNodeKilled takes a node away for a while: its VM goes on without it.
func TestNodeKilled(t *testing.T) {
	s := blades.up(t)
	vm, boot := s.node(t, "blade1").VmPid, s.bootID(t, "blade1")
	s.kill(t, "node/blade1")
	signal(t, int(vm), 0) // QEMU has not ended with its node
	s.do(t, "start", "node/blade1")
	s.do(t, "wait", "blade1", "--timeout", "2m")
	if now := s.node(t, "blade1").VmPid; now != vm {
		t.Errorf("the node has started another VM, process %d after %d", now, vm)
	}
	if now := s.bootID(t, "blade1"); now != boot {
		t.Error("the guest has booted again")
	}
	s.answers(t, "blade1")
	s.expect(t, "blade1", []says{
		{"ipmitool -b 0 -t 0x84 mc info", 0, ``},
		{"ipmitool -b 0 -t 0x20 mc info", 0, ``},
	})
}

// TestVMKilled kills a VM: it stays down, whatever happens, until it is started.
func TestVMKilled(t *testing.T) {
	s := blades.up(t)
	s.kill(t, "vm/blade1")
	s.vmState(t, "blade1", "off", "crashed")
	s.replaceNode(t, "blade1")
	s.do(t, "up")
	if st := s.node(t, "blade1"); st.VmState == "running" || st.VmPid != 0 {
		t.Errorf("the VM is %s, process %d", st.VmState, st.VmPid)
	}
	// Its controller is still there.
	s.expect(t, "blade2", []says{{"ipmitool -b 0 -t 0x82 mc info", 0, `IPMI Version`}})
	s.do(t, "start", "vm/blade1")
	s.do(t, "wait", "blade1", "--timeout", "5m")
	s.expect(t, "blade1", []says{{"ipmitool mc info", 0, ``}})
}

// replaceNode is restartNode for a node whose VM is off.
func (s *shelf) replaceNode(t *testing.T, node string) {
	t.Helper()
	s.do(t, "kill", "node/"+node)
	s.do(t, "start", "node/"+node)
	eventually(t, patience, "the node is back", func() error {
		_, err := s.NodeStatus(t.Context(), node)
		return err
	})
}
