package main

import (
	"testing"
	"unsafe"
)

func TestStructSizes(t *testing.T) {
	for name, size := range map[string][2]uintptr{
		"ipmi_msg":     {unsafe.Sizeof(ipmiMsg{}), 16},
		"ipmi_req":     {unsafe.Sizeof(ipmiReq{}), 40},
		"ipmi_recv":    {unsafe.Sizeof(ipmiRecv{}), 48},
		"ipmi_cmdspec": {unsafe.Sizeof(ipmiCmdSpec{}), 2},
		"ipmi_addr":    {unsafe.Sizeof(address{}), 38},

		"ipmi_req.msgid":  {unsafe.Offsetof(ipmiReq{}.id), 16},
		"ipmi_req.msg":    {unsafe.Offsetof(ipmiReq{}.msg), 24},
		"ipmi_recv.addr":  {unsafe.Offsetof(ipmiRecv{}.addr), 8},
		"ipmi_recv.msgid": {unsafe.Offsetof(ipmiRecv{}.id), 24},
		"ipmi_recv.msg":   {unsafe.Offsetof(ipmiRecv{}.msg), 32},
		"ipmi_msg.data":   {unsafe.Offsetof(ipmiMsg{}.data), 8},
	} {
		if size[0] != size[1] {
			t.Errorf("%s: %d, want %d", name, size[0], size[1])
		}
	}
}

// The numbers are what a C program prints for the macros on x86-64.
func TestIoctlNumbers(t *testing.T) {
	for name, number := range map[string][2]uintptr{
		"IPMICTL_RECEIVE_MSG_TRUNC": {ioctlReceiveMsgTrunc, 0xc030690b},
		"IPMICTL_SEND_COMMAND":      {ioctlSendCommand, 0x8028690d},
		"IPMICTL_REGISTER_FOR_CMD":  {ioctlRegisterForCmd, 0x8002690e},
	} {
		if number[0] != number[1] {
			t.Errorf("%s: %#x, want %#x", name, number[0], number[1])
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, tt := range []struct {
		name string
		addr address
		want [addressSize]byte
	}{
		{"local BMC", localAddress(0), [...]byte{0x0c, 0, 0, 0, 0x0f, 0, 0, 0}},
		{"local BMC, LUN 3", localAddress(3), [...]byte{0x0c, 0, 0, 0, 0x0f, 0, 3, 0}},
		{"guest software behind 0x84", ipmbAddress(0x84, 2), [...]byte{1, 0, 0, 0, 0, 0, 0x84, 2}},
	} {
		if got := [addressSize]byte(tt.addr[:addressSize]); got != tt.want {
			t.Errorf("%s: % x, want % x", tt.name, got, tt.want)
		}
	}
	line := newAddress(addrLAN, 3)
	line[6], line[7] = 4, 0x71
	for a, want := range map[address]string{line: "channel 3 privilege 4 session 71", ipmbAddress(0x84, 2): "84 lun 2"} {
		if got := a.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if a := ipmbAddress(0x84, 2); a.slave() != 0x84 || a.lun() != 2 {
		t.Errorf("slave %#x lun %d", a.slave(), a.lun())
	}
}
