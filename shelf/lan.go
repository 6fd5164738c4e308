package shelf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/rmcp"
	"github.com/midplane-project/midplane/shelf/front"
	"github.com/midplane-project/midplane/shelf/manager"
)

// LANDoor is the LAN door of a shelf. All its replicas have the same key and
// password.
type LANDoor struct {
	// Listen is unix:PATH, where midplane front connects, or IP:PORT.
	Listen string `json:"listen"`
	// Key is the file with the key that seals passwords and sessions in the
	// replicated state: 32 random bytes, mode 0600.
	Key string `json:"key"`
	// Password is the file with the password of the first administrator, mode 0600.
	Password string `json:"password"`
	// Address is where clients find the door, IP:PORT, as lan print shows it;
	// default: Listen, where that is one.
	Address string `json:"address,omitempty"`
	// Hook is a program that brings an address to this host, and takes it away:
	// it is called with gain when this replica begins to serve the door, and with
	// lose when it ends.
	Hook string `json:"hook,omitempty"`
	// Style is how answers come back over a bridge: split (the default) or embedded.
	Style ipmb.BridgeStyle `json:"style,omitempty"`
	rmcp.Settings
}

func (d *LANDoor) check(shelf string) error {
	var all []error
	if _, ok := strings.CutPrefix(d.Listen, "unix:"); !ok {
		if _, err := netip.ParseAddrPort(d.Listen); err != nil {
			all = append(all, fmt.Errorf("shelf %s: lan: listen: %q is neither unix:PATH nor IP:PORT", shelf, d.Listen))
		}
	}
	if d.Address != "" {
		if _, err := netip.ParseAddrPort(d.Address); err != nil {
			all = append(all, fmt.Errorf("shelf %s: lan: address: %w", shelf, err))
		}
	}
	if err := errors.Join(d.Style.Check(), d.Settings.Check()); err != nil {
		all = append(all, fmt.Errorf("shelf %s: lan: %w", shelf, err))
	}
	if d.Key == "" || d.Password == "" {
		all = append(all, fmt.Errorf("shelf %s: lan: key and password: files are needed", shelf))
	}
	return errors.Join(all...)
}

// entry is where a door's datagrams come in.
type entry interface {
	Lead(term uint64) *front.Conn
	Close() error
}

// lanDoor is the LAN door of one shelf at this replica.
type lanDoor struct {
	LANDoor
	entry entry
	hook  *hook // nil: none
	log   *slog.Logger
}

// openDoors opens where the shelves' LAN doors listen, whether this replica
// leads or not.
func (r *Replica) openDoors() error {
	r.doors = make(map[string]*lanDoor)
	for _, s := range r.cfg.Shelves {
		if s.LAN == nil {
			continue
		}
		d := &lanDoor{LANDoor: *s.LAN, log: r.log}
		var err error
		if path, ok := strings.CutPrefix(d.Listen, "unix:"); ok {
			d.entry, err = front.ListenEntry(path)
		} else {
			d.entry, err = front.ListenSocket(d.Listen)
		}
		if err != nil {
			return fmt.Errorf("LAN door of shelf %s: %w", s.Name, err)
		}
		d.Warn(r.log.With("shelf", s.Name))
		if d.Hook != "" {
			d.hook = newHook(d.Hook, s.Name, r.cfg.Name, r.log)
		}
		r.doors[s.Name] = d
	}
	return nil
}

func (r *Replica) closeDoors() {
	for name, d := range r.doors {
		if d.hook != nil {
			d.hook.close()
		}
		if err := d.entry.Close(); err != nil {
			r.log.Warn("LAN door not closed", "shelf", name, "err", err)
		}
	}
}

// serve answers at the door in a term.
func (d *lanDoor) serve(ctx context.Context, m *manager.Manager, term uint64) {
	err := m.ServeLAN(ctx, func() net.PacketConn {
		conn := d.entry.Lead(term)
		if d.hook != nil {
			d.hook.want(true)
		}
		return conn
	})
	if d.hook != nil {
		d.hook.want(false)
	}
	if err != nil && ctx.Err() == nil {
		d.log.Error("LAN door of the shelf", "err", err)
	}
}

// secrets gives the manager what its door needs; nil without one.
func (d *lanDoor) secrets() *manager.LAN {
	if d == nil {
		return nil
	}
	return &manager.LAN{
		Address: d.address(), Style: d.Style, Logins: d.Settings,
		Key: func() ([]byte, error) { return readSecret(d.Key) },
		Password: func() (string, error) {
			b, err := readSecret(d.Password)
			return strings.TrimSpace(string(b)), err
		},
	}
}

// address is where clients find the door; not valid where nobody said.
func (d *LANDoor) address() netip.AddrPort {
	for _, s := range []string{d.Address, d.Listen} {
		if a, err := netip.ParseAddrPort(s); err == nil {
			return a
		}
	}
	return netip.AddrPort{}
}

// readSecret reads a file that nobody else may.
func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if open := info.Mode().Perm() &^ 0o600; open != 0 {
		return nil, fmt.Errorf("%s: others may use it (mode %v); make it 0600", path, info.Mode().Perm())
	}
	return os.ReadFile(path)
}
