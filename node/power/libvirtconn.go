package power

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"
)

// libvirtSockets are where libvirt listens, the daemon for everything before the one for QEMU alone
// (libvirt docs/daemons).
var libvirtSockets = []string{"libvirt-sock", "virtqemud-sock"}

// A libvirtConn is one connection to libvirt with its domain.
type libvirtConn struct {
	*libvirt.Libvirt
	conn   net.Conn
	domain libvirt.Domain
}

// dialLibvirt connects and finds the domain. The library's calls know no context, so the connection
// is closed when ctx ends.
func dialLibvirt(ctx context.Context, cfg LibvirtConfig) (*libvirtConn, error) {
	u, err := url.Parse(cfg.URI)
	if err != nil {
		return nil, err
	}
	conn, err := dialAny(ctx, cfg.sockets(u))
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c := &libvirtConn{Libvirt: libvirt.NewWithDialer(dialers.NewAlreadyConnected(conn)), conn: conn}
	err = c.ConnectToURI(libvirt.RemoteURI(u))
	if err == nil {
		c.domain, err = c.DomainLookupByName(cfg.Domain)
	}
	if err != nil {
		conn.Close()
		return nil, errors.Join(fmt.Errorf("libvirt %s: %w", cfg.URI, err), ctx.Err())
	}
	return c, nil
}

func dialAny(ctx context.Context, paths []string) (conn net.Conn, err error) {
	var d net.Dialer
	for _, path := range paths {
		conn, err = d.DialContext(ctx, "unix", path)
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	return conn, err
}

// sockets are where libvirt may listen: what the URI says, else what its own clients try.
func (c LibvirtConfig) sockets(u *url.URL) (paths []string) {
	if path := u.Query().Get("socket"); path != "" {
		return []string{path}
	}
	dir := "/var/run/libvirt"
	if u.Path == "/session" {
		dir = filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "libvirt")
	}
	for _, name := range libvirtSockets {
		paths = append(paths, filepath.Join(dir, name))
	}
	return paths
}

// call runs one of the library's calls, which wait for ever where libvirt does not answer: the end of
// ctx ends the connection and so the call.
func (c *libvirtConn) call(ctx context.Context, f func() error) error {
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	return f()
}

func (c *libvirtConn) close() {
	c.conn.Close()
	<-c.Disconnected()
}

// refused reports whether libvirt says that a domain is not in the state for something.
func refused(err error) bool {
	var e libvirt.Error
	return errors.As(err, &e) && e.Code == uint32(libvirt.ErrOperationInvalid)
}
