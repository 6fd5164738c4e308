package ipmb

import "fmt"

// Privilege is a privilege level (IPMI 2.0 §6.8), lowest first.
type Privilege uint8

// Privilege levels.
const (
	PrivilegeNone     Privilege = 0 // no session needed
	PrivilegeCallback Privilege = 1
	PrivilegeUser     Privilege = 2
	PrivilegeOperator Privilege = 3
	PrivilegeAdmin    Privilege = 4
	PrivilegeOEM      Privilege = 5
)

var privilegeNames = [...]string{"none", "callback", "user", "operator", "admin", "oem"}

func (p Privilege) String() string {
	if int(p) < len(privilegeNames) {
		return privilegeNames[p]
	}
	return fmt.Sprintf("privilege(%d)", uint8(p))
}

// Door is the way by which a request entered a controller.
type Door uint8

// Doors.
const (
	DoorInternal Door = iota // the controller itself, or its daemon
	DoorSystem               // the system interface of the own guest (KCS, BT, SSIF)
	DoorIPMB                 // the bus
	DoorLAN                  // RMCP, RMCP+
	DoorSerial
	DoorAPI // gRPC
)

var doorNames = [...]string{"internal", "system", "ipmb", "lan", "serial", "api"}

func (d Door) String() string {
	if int(d) < len(doorNames) {
		return doorNames[d]
	}
	return fmt.Sprintf("door(%d)", uint8(d))
}

// Speaker is who made a message, however many bridges it passed since.
type Speaker uint8

// Speakers.
const (
	SpeakerController Speaker = iota // a management controller, of its own accord
	SpeakerGuest                     // software in a VM
	SpeakerSession                   // a LAN or serial session
	SpeakerAPI                       // a gRPC client
)

var speakerNames = [...]string{"controller", "guest", "session", "api"}

func (s Speaker) String() string {
	if int(s) < len(speakerNames) {
		return speakerNames[s]
	}
	return fmt.Sprintf("speaker(%d)", uint8(s))
}

// Channel numbers (IPMI 2.0 §6.3).
const (
	ChannelIPMB    uint8 = 0x0
	ChannelPresent uint8 = 0xE // "the channel this came by"
	ChannelSystem  uint8 = 0xF
)

// Origin says who spoke and how the message came here. It travels with a
// message through every bridge; only a switch that knows better may lower it.
type Origin struct {
	Speaker   Speaker
	Door      Door
	Channel   uint8     // channel at the controller that serves the request
	Privilege Privilege // of the speaker, here
	Shelf     string
	Source    Addr   // IPMB address of the controller it came from; own address for the own guest
	SourceLUN LUN    // requester's LUN: 2 when guest software asked
	Session   uint32 // session id at the door, 0 without one
	Instance  string // instance UUID of the sending node: with ID, names the request once and for all
	ID        uint64 // request id on the streams, 0 for a request that never left its door
}
