// Package guest builds the lab guest: a stock Debian kernel and an initramfs
// with the IPMI, virtio and ACPI modules, ipmitool, FreeIPMI's tools, OpenIPMI's
// ipmicmd, the QEMU guest agent and Midplane's own program, [ToolPath].
//
// Nothing is installed and root is not needed: packages are downloaded with
// apt-get, unpacked with dpkg-deb into a scratch folder, and what the guest needs
// of them is written as a cpio archive. Which shared libraries that is
// comes from the ELF files themselves, and which modules from the modules.
//
// In the guest, pid 1 is busybox init. The kernel command line may say:
//
//	midplane.name=NAME   the host name
//	midplane.watchdog    load ipmi_watchdog
//	midplane.poweroff    load ipmi_poweroff, for power off without ACPI
//	midplane.login=WORD  ask on ttyS0 for a user and a password; root's is WORD
//
// The line [ReadyLine] on ttyS0 says that /dev/ipmi0 is there; "(no ipmi)"
// follows it when it did not come within 10 seconds.
package guest
