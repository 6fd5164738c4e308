//go:build e2e

package e2e_test

import (
	"testing"
)

// others has a blade on each interface that the two blades do not have, and one
// without ACPI, which Linux switches off by IPMI.
var others = &fixture{name: "o", yaml: `
replicas: 1
nodes:
  - {slot: 1, name: pcikcs, interface: pci-kcs}
  - {slot: 2, name: pcibt, interface: pci-bt}
  - {slot: 3, name: ssif, interface: ssif, qemu: {machine: q35}}
  - {slot: 4, name: noacpi, qemu: {append: acpi=off midplane.poweroff}}
`}

// TestInterfaces has Linux find its BMC on every interface that QEMU has. An
// SSIF that answers later than 5 ms gives the guest old answers, which no BMC
// outside QEMU can help: only what works even then is asked for.
func TestInterfaces(t *testing.T) {
	s := others.up(t)
	pci := []string{`ipmi_si \S+: probing via PCI`, `ipmi_si \S+: \[io  0x\w+-0x\w+\] regsize 1 spacing 1 irq \d+`}
	for node, known := range map[string][]string{
		"pcikcs": pci,
		"pcibt":  pci,
		"ssif": {
			`ipmi_si: Unable to find any System Interface\(s\)`, // it is for KCS and BT
			`ipmi_ssif \S+: ipmi_ssif: Trying \S+-specified SSIF interface at i2c address 0x\w+, adapter .*, slave address 0x\w+`,
			`ipmi_ssif \S+: ipmi_ssif: Unable to clear message flags: -22 .*`,
			`ipmi_ssif \S+: ipmi_ssif: Error (setting|getting) global enables: .*`,
			`ipmi_ssif \S+: ipmi_ssif: Got return error .*`,
			`ipmi_ssif \S+: IPMI message handler: BMC returned incorrect response, expected .*`, // an old answer
		},
		"noacpi": {},
	} {
		t.Run(node, func(t *testing.T) {
			s.expect(t, node, []says{{"ipmitool mc info", 0, `IPMI Version +: 2\.0`}})
			s.kernelLog(t, node, known...)
		})
	}
	t.Run("pcikcs to pcibt", func(t *testing.T) {
		s.expect(t, "pcikcs", []says{
			{"ipmitool -b 0 -t 0x84 picmg addrinfo", 0, `IPMB-0 Address +: 0x84`},
			{"ipmitool -b 0 -t 0x20 mc info", 0, `SDR Repository`},
		})
	})
}

// TestPowerOffWithoutACPI has Linux's ipmi_poweroff switch the blade off: it
// sends Set Power Level 0 to its own controller.
func TestPowerOffWithoutACPI(t *testing.T) {
	s := others.up(t)
	s.one(t, "noacpi", `dmesg | grep -q "Found a ATCA style poweroff function"`)
	s.guest(t, "noacpi", "poweroff </dev/null >/dev/null 2>&1 &")
	s.vmState(t, "noacpi", "off", "shutdown")
	s.do(t, "start", "vm/noacpi")
	s.do(t, "wait", "noacpi", "--timeout", "5m")
	s.expect(t, "noacpi", []says{{"ipmitool mc info", 0, ``}})
}
