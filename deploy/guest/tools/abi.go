package main

import (
	"encoding/binary"
	"fmt"
	"unsafe"
)

// The structures and numbers of Linux include/uapi/linux/ipmi.h, for 64 bits.

// ipmiMsg is struct ipmi_msg.
type ipmiMsg struct {
	netFn, cmd byte
	dataLen    uint16
	data       unsafe.Pointer
}

// ipmiReq is struct ipmi_req.
type ipmiReq struct {
	addr    unsafe.Pointer
	addrLen uint32
	id      int64
	msg     ipmiMsg
}

// ipmiRecv is struct ipmi_recv.
type ipmiRecv struct {
	recvType int32
	addr     unsafe.Pointer
	addrLen  uint32
	id       int64
	msg      ipmiMsg
}

// ipmiCmdSpec is struct ipmi_cmdspec.
type ipmiCmdSpec struct {
	netFn, cmd byte
}

// Kinds of received message.
const (
	recvResponse = 1
	recvCommand  = 3
)

// Address types and the channel of the local BMC.
const (
	addrSystemInterface = 0x0c
	addrIPMB            = 0x01
	addrLAN             = 0x04 // and of serial channels
	channelBMC          = 0x0f
)

// addressSize is sizeof(struct ipmi_ipmb_addr) and that of struct
// ipmi_system_interface_addr.
const addressSize = 8

// address is struct ipmi_addr, big enough for every kind:
//
//	int type   short channel   slave address  lun      (IPMB)
//	int type   short channel   lun                     (system interface)
//	int type   short channel   privilege, session handle, both software ids, lun   (LAN)
type address [4 + 2 + 32]byte

// ioctl numbers: direction<<30 | size<<16 | 'i'<<8 | number.
const (
	ioctlReceiveMsgTrunc = 3<<30 | unsafe.Sizeof(ipmiRecv{})<<16 | 'i'<<8 | 11
	ioctlSendCommand     = 2<<30 | unsafe.Sizeof(ipmiReq{})<<16 | 'i'<<8 | 13
	ioctlRegisterForCmd  = 2<<30 | unsafe.Sizeof(ipmiCmdSpec{})<<16 | 'i'<<8 | 14
)

// localAddress is the BMC on the system interface.
func localAddress(lun byte) address {
	a := newAddress(addrSystemInterface, channelBMC)
	a[6] = lun
	return a
}

// ipmbAddress is a controller on the primary IPMB, channel 0.
func ipmbAddress(slave, lun byte) address {
	a := newAddress(addrIPMB, 0)
	a[6], a[7] = slave, lun
	return a
}

func newAddress(kind int32, channel int16) address {
	var a address
	binary.NativeEndian.PutUint32(a[0:], uint32(kind))
	binary.NativeEndian.PutUint16(a[4:], uint16(channel))
	return a
}

// slave and lun are of an IPMB address.
func (a address) slave() byte { return a[6] }
func (a address) lun() byte   { return a[7] }

// String tells where a message came from.
func (a address) String() string {
	if binary.NativeEndian.Uint32(a[:]) == addrLAN {
		return fmt.Sprintf("channel %d privilege %d session %02x", binary.NativeEndian.Uint16(a[4:]), a[6], a[7])
	}
	return fmt.Sprintf("%02x lun %d", a.slave(), a.lun())
}
