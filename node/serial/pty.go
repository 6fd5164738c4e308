package serial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ptyMode lets only the node's own user in.
const ptyMode = 0o600

// PTY is a pseudo terminal that is a port: whoever opens it is on the line,
// which ends when the last one closes it. A link leads to it, since the system
// chooses its name.
type PTY struct {
	master *os.File
	name   string
	link   string
}

// OpenPTY makes a terminal with a link to it, in the place of another link.
func OpenPTY(link string) (_ *PTY, err error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = master.Close()
		}
	}()
	p := &PTY{master: master, link: link}
	if err := p.prepare(); err != nil {
		return nil, fmt.Errorf("pseudo terminal: %w", err)
	}
	if err := os.Chmod(p.name, ptyMode); err != nil {
		return nil, err
	}
	if have, err := os.Lstat(link); err == nil && have.Mode()&fs.ModeSymlink == 0 {
		return nil, fmt.Errorf("%s is there, and no link", link)
	}
	next := fmt.Sprintf("%s.%d", link, os.Getpid())
	if err := os.Symlink(p.name, next); err != nil {
		return nil, err
	}
	if err := os.Rename(next, link); err != nil {
		return nil, errors.Join(err, os.Remove(next))
	}
	return p, nil
}

// prepare unlocks the terminal, finds its name, and makes it a plain line.
func (p *PTY) prepare() error {
	return p.control(func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
		if err != nil {
			return err
		}
		p.name = fmt.Sprintf("/dev/pts/%d", number)
		raw := unix.Termios{Cflag: unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200, Ispeed: unix.B115200, Ospeed: unix.B115200}
		raw.Cc[unix.VMIN] = 1
		return unix.IoctlSetTermios(fd, unix.TCSETS, &raw)
	})
}

// control does something with the descriptor, which stays one that does not block.
func (p *PTY) control(f func(fd int) error) error {
	c, err := p.master.SyscallConn()
	if err != nil {
		return err
	}
	if outer := c.Control(func(fd uintptr) { err = f(int(fd)) }); outer != nil {
		return outer
	}
	return err
}

// Name is the terminal's own name.
func (p *PTY) Name() string { return p.name }

// Close removes the terminal, and the link if it is still its own.
func (p *PTY) Close() error {
	if to, err := os.Readlink(p.link); err == nil && to == p.name {
		_ = os.Remove(p.link)
	}
	return p.master.Close()
}

// opened reports whether somebody has the terminal open, or has left something
// in it.
func (p *PTY) opened() (yes bool, err error) {
	err = p.control(func(fd int) error {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, 0); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		yes = fds[0].Revents&(unix.POLLHUP|unix.POLLIN) != unix.POLLHUP
		return nil
	})
	return yes, err
}

// clear forgets what nobody has read, and makes the terminal ready for the next
// line.
func (p *PTY) clear() error {
	_ = p.master.SetDeadline(time.Time{})
	return p.control(func(fd int) error { return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCOFLUSH) })
}

// touch opens and closes the terminal: before it was opened once, one that
// nobody has open looks like one that somebody has.
func (p *PTY) touch() error {
	f, err := os.OpenFile(p.name, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// ServePTY serves whoever opens a terminal, until ctx ends.
func (d *Door) ServePTY(ctx context.Context, p *PTY) error {
	if err := p.touch(); err != nil {
		return err
	}
	for {
		yes, err := p.opened()
		if err != nil {
			return err
		}
		if yes {
			d.Line(ctx, plugged{p.master})
			if err := p.clear(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(redial):
		}
	}
}

// plugged is one line of a terminal, which outlives it.
type plugged struct{ *os.File }

// Read implements [io.Reader]: EIO says that nobody has the terminal open any more.
func (c plugged) Read(b []byte) (int, error) {
	n, err := c.File.Read(b)
	if errors.Is(err, unix.EIO) {
		err = io.EOF
	}
	return n, err
}

// Close ends what is under way.
func (c plugged) Close() error { return c.SetDeadline(time.Unix(1, 0)) }
