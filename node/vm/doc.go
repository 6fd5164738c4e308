// Package vm is the guest's door to its node: the protocol that QEMU's
// ipmi-bmc-extern device speaks over a chardev socket.
//
// A message travels as its bytes, a checksum and A0h; a hardware command as
// its bytes and A1h. AAh escapes a byte that would mean something:
//
//	request   seq  netFn<<2|LUN      cmd  data…      checksum  A0   VM → node
//	response  seq  (netFn|1)<<2|LUN  cmd  cc  data…  checksum  A0   node → VM
//	command   code [argument]                                  A1   both ways
//
// A [Door] answers the requests with an [ipmb.Handler], tells the VM of
// waiting messages (attention), and powers off, resets or interrupts it. It
// serves one VM; during a live migration that VM has two links for a while.
//
// What the VM's device does with late, repeated or missing answers decides
// most of this package; the comments cite QEMU's hw/ipmi/ipmi_bmc_extern.c.
package vm
