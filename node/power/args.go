package power

import (
	"fmt"
	"strconv"
)

// Args builds the whole command line, program first, of a VM that the node starts itself.
//
// The VM starts stopped (-S), so that the node is connected before the guest's firmware runs.
// A guest's poweroff ends the process and a reset stays a reset. A panicked guest goes on, as hardware does,
// or its last words over IPMI would be lost.
func Args(s Spec) ([]string, error) {
	s = s.withDefaults()
	bmc, err := bmcArgs(s)
	if err != nil {
		return nil, err
	}
	pairs := baseArgs(s)
	for _, part := range [][]pair{monitorArgs(s), consoleArgs(s), serialArgs(s), bmc, agentArgs(s), diskArgs(s), nicArgs(s), bootArgs(s)} {
		pairs = append(pairs, part...)
	}
	return append(flatten(s.Binary, pairs), s.Extra...), nil
}

// JoinArgs builds only what connects a VM of one's own to its node: to be added to its command line.
// QEMU dials the node unless the Spec says otherwise; the monitor and the agent's port are there if their sockets are.
func JoinArgs(s Spec) ([]string, error) {
	pairs, err := joinPairs(s.withDefaults())
	if err != nil {
		return nil, err
	}
	return flatten("", pairs)[1:], nil
}

func joinPairs(s Spec) ([]pair, error) {
	pairs, err := bmcArgs(s)
	if err != nil {
		return nil, err
	}
	return append(append(pairs, monitorArgs(s)...), agentArgs(s)...), nil
}

func baseArgs(s Spec) []pair {
	pairs := []pair{
		{"-name", escape(s.Name)},
		// graphics=off makes SeaBIOS speak on the serial port, so that the console shows it too.
		{"-machine", s.Machine + ",graphics=off"},
		{"-accel", s.Accel},
		{"-m", strconv.Itoa(s.MemoryMiB)},
		{"-smp", strconv.Itoa(s.SMP)},
		{"-display", "none"},
		{"-nodefaults", ""},
		{"-no-user-config", ""},
		{"-S", ""},
		{"-action", "panic=none"},
		{"-device", "pvpanic"},
	}
	if s.Accel == KVM {
		pairs = append(pairs, pair{"-cpu", "host"})
	}
	if s.UUID != "" {
		pairs = append(pairs, pair{"-uuid", s.UUID})
	}
	return pairs
}

func diskArgs(s Spec) []pair {
	if s.Disk.Base == "" {
		return nil
	}
	file := "file=" + escape(s.Disk.Base) + ",format=" + s.Disk.Format + ",snapshot=on"
	if s.Disk.Overlay != "" {
		file = "file=" + escape(s.Disk.Overlay) + ",format=qcow2"
	}
	return []pair{
		{"-drive", "if=none,id=disk0," + file},
		{"-device", "virtio-blk-pci,drive=disk0"},
	}
}

func nicArgs(s Spec) []pair {
	var pairs []pair
	for i, n := range s.NICs {
		device := fmt.Sprintf("%s,netdev=net%d", or(n.Model, "virtio-net-pci"), i)
		if n.MAC != "" {
			device += ",mac=" + n.MAC
		}
		pairs = append(pairs, pair{"-netdev", fmt.Sprintf("%s,id=net%d", n.Backend, i)}, pair{"-device", device})
	}
	return pairs
}

func flatten(program string, pairs []pair) []string {
	argv := []string{program}
	for _, p := range pairs {
		argv = append(argv, p.option)
		if p.value != "" {
			argv = append(argv, p.value)
		}
	}
	return argv
}
