// Package power acts on one VM: it builds QEMU's command line, runs and finds the process, commands it and tells what happens to it.
//
// [Machine] owns a QEMU child process which outlives it. VMs that somebody else starts are commanded by
// [Attach] over QMP, [NewDomain] through libvirt and [NewHook] by commands of one's own. All are a [Driver]. [Console] records the serial console. What a guest and its BMC say to each other is not seen here.
package power
