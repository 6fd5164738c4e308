package topology

import "bytes"

// example is what midplane init writes. NAME stands for the shelf's name.
const example = `# A Midplane shelf. Check it with: midplane validate
# Start it with: midplane up

name: NAME              # directories, certificates and --shelf use it
# id: 1                 # 1 to 254, tells shelves on one machine apart; default: the first free one
replicas: 3             # shelf managers: 1, 3 or 5
timing: lab             # lab: elections after 0.2 s of silence; lan: 0.3 s, for replicas on several hosts
# listen: 127.0.0.1     # where the replicas listen
# ports: [7001, 7002, 7003]   # default: free ones, kept
# lan:                  # doors for ipmitool -I lanplus, at 127.77.ID.SLOT; lan: off for none
#   port: 6230          # default: 623 where allowed, else 6230; kept
#   password: shared    # all doors begin with one generated password; own: each has its own
#   listen: "127.0.0.1:6230"   # the shelf manager's door; default: 127.77.ID.0
#   # also style, suites, unsafe_suites and v15 of the shelf manager's door: see a node's below

defaults:               # for all nodes that do not say otherwise
  interface: kcs        # kcs, bt, pci-kcs, pci-bt, ssif (ssif is slow: prefer kcs or bt)
  profile: atca         # atca: a board of the shelf; server: a plain BMC, PICMG answers C1h; fan-tray: below
  # manufacturer: 0     # IANA number in Get Device ID; a borrowed one wakes vendor quirks
  # product: 0
  # on_guest_poweroff: stay   # the VM stays off; deactivate: the board asks to be deactivated, too
  # alerts: ["127.0.0.1:16200"]   # where SNMP traps may go (PEF); default: nowhere
  # watchdog_clock: vm  # the watchdog timer stands still while the VM is paused; wall: it does not
  # sel: {capacity: 4096, overflow: oldest}   # records of a node's event log; refuse: a full log answers C4h
  # serial: [{mode: terminal, listen: guest}]   # terminal, basic, direct or radisys on the guest's second serial port;
  #                       or pty:PATH, unix:PATH, tcp:127.0.0.1:PORT, where users log in unless there is a privilege: user, operator, admin
  # lan: off            # no door of the node's own; or {listen: "127.0.0.1:6231"} for one node, and for all:
  #   allow: ["127.77.1.0/24:6230"]   # where ipmitool lan set may move it, too; or IP:PORT, IP:FIRST-LAST
  #   style: split      # embedded: the answer of a bridged command in that of Send Message, for pyipmi
  #   suites: [17, 3]   # also 8, 12; with unsafe_suites: true 2, 1, 0
  #   v15: [md5]        # IPMI 1.5 sessions, in clear: md5, password; default: none
  # template: sensors.yaml    # sensors and FRU devices; default: node/template/default.yaml, which explains the format
  qemu:
    memory: 256         # MiB
    accel: auto         # auto uses KVM where a probe shows that it works; kvm, tcg
    # binary: qemu-system-x86_64
    # machine: pc       # q35 for ssif
    # kernel: vmlinuz   # default: the lab guest, built from Debian's packages
    # initrd: initrd.gz
    # append: console=ttyS0
    # modules: /lib/modules/6.1.0-18-amd64   # with kernel: a lab guest with your kernel
    # disk: {base: debian.qcow2, format: qcow2}   # the base is never written
    # nics: [{backend: "user,hostfwd=tcp:127.0.0.1:2201-:22"}]
    # extra: ["-device", "virtio-rng-pci"]

nodes:
  - slot: 1             # slot 1 is IPMB address 0x82, slot 2 0x84, …
    name: blade1
  - slot: 2
    name: blade2
    interface: bt
  # - slot: 9           # fans without a VM; their level (PICMG Set Fan Level) cools all boards
  #   name: fans1
  #   profile: fan-tray
  # - slot: 3           # a VM that you start yourself: see midplane qemu-args
  #   name: mine
  #   qemu: none
  #   vm_socket: {path: /run/mine.sock, mode: "0660", group: libvirt}   # libvirt-qemu, where QEMU runs as that
  #   power:            # how to power it on and off; without it only what the VM protocol can
  #     libvirt: {uri: "qemu:///system", domain: mine}
  #     # qmp: unix:/run/mine.qmp    # a monitor for Midplane alone; QEMU keeps its memory when off
  #     # hook: {on: [./vm.sh, on], off: [./vm.sh, off], status: [./vm.sh, status]}   # status: exit 0 on, 1 off
  #     #   also reset, cycle, nmi, soft; no shell; MIDPLANE_SLOT, _NAME, _UUID are set; 30 s each
  #   console: {socket: /run/mine.console, chardev: con0}   # -chardev socket,id=con0,path=/run/mine.console,server=on,wait=off
`

// Example is a commented shelf.yaml for a shelf called name.
func Example(name string) []byte {
	return bytes.ReplaceAll([]byte(example), []byte("NAME"), []byte(name))
}
