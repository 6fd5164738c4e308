// Package picmg is the bodies of PICMG 3.0 (ATCA) commands, network function
// 2Ch with defining body 00h, and the events of hot-swap sensors.
//
// Bodies are what follows the defining body in a request, and what follows
// completion code and defining body in a response: the mux of package ipmb
// takes the body off and puts it back. The layouts come from public sources,
// named at each type: Wireshark's packet-ipmi-picmg.c, ipmitool's
// ipmi_picmg.h, OpenIPMI's oem_atca.c and manuals of boards and shelf
// managers of the Pigeon Point family.
package picmg
