package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// message is a request or, with the completion code as its first data byte, a
// response.
type message struct {
	netFn, cmd byte
	data       []byte
}

// received is what the driver hands up.
type received struct {
	kind int32 // recvResponse, recvCommand, ...
	addr address
	id   int64
	message
}

// device is the IPMI character device. Its methods are for one goroutine.
type device struct {
	fd   int
	addr address
	data [1024]byte
}

func openDevice(path string) (*device, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (is ipmi_si loaded, and did it find a BMC? see dmesg)", path, err)
	}
	return &device{fd: fd}, nil
}

func (d *device) close() { unix.Close(d.fd) }

// send hands a message to the driver, which tries an IPMB request up to five
// times. The id comes back with the response; for a response being sent it is
// the id of the command it answers.
func (d *device) send(to address, id int64, m message) error {
	req := ipmiReq{
		addr: unsafe.Pointer(&to), addrLen: uint32(len(to)), id: id,
		msg: ipmiMsg{netFn: m.netFn, cmd: m.cmd, dataLen: uint16(len(m.data))},
	}
	if len(m.data) > 0 {
		req.msg.data = unsafe.Pointer(&m.data[0])
	}
	err := d.ioctl(ioctlSendCommand, unsafe.Pointer(&req))
	runtime.KeepAlive(m.data)
	return err
}

// receive takes the next message from the driver's queue, without waiting;
// unix.EAGAIN if there is none. The data is valid until the next call.
func (d *device) receive() (received, error) {
	recv := ipmiRecv{
		addr: unsafe.Pointer(&d.addr), addrLen: uint32(len(d.addr)),
		msg: ipmiMsg{data: unsafe.Pointer(&d.data), dataLen: uint16(len(d.data))},
	}
	err := d.ioctl(ioctlReceiveMsgTrunc, unsafe.Pointer(&recv))
	if err != nil {
		return received{}, err
	}
	return received{
		kind: recv.recvType, addr: d.addr, id: recv.id,
		message: message{netFn: recv.msg.netFn, cmd: recv.msg.cmd, data: d.data[:recv.msg.dataLen]},
	}, nil
}

// wait waits until there is something to receive, for a limited time.
func (d *device) wait(limit time.Duration) error {
	fds := []unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLIN}}
	_, err := unix.Poll(fds, int(max(limit, 0).Milliseconds()))
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}

// next waits for the next message until the context ends.
func (d *device) next(ctx context.Context) (received, error) {
	const patience = 100 * time.Millisecond
	for ctx.Err() == nil {
		got, err := d.receive()
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return got, err
		}
		if err := d.wait(patience); err != nil {
			return received{}, err
		}
	}
	return received{}, ctx.Err()
}

// register asks for the commands that others send to this guest's software.
func (d *device) register(netFn, cmd byte) error {
	spec := ipmiCmdSpec{netFn: netFn, cmd: cmd}
	return d.ioctl(ioctlRegisterForCmd, unsafe.Pointer(&spec))
}

func (d *device) ioctl(request uintptr, arg unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(d.fd), request, uintptr(arg))
	if errno != 0 {
		return errno
	}
	return nil
}
