package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/internal/problem"
	"github.com/midplane-project/midplane/node"
)

// Door is how a controller is reached by RMCP+: what ipmitool -I lanplus needs.
type Door struct {
	Target       Target
	Address      netip.AddrPort
	User         string
	PasswordFile string
}

// Door is the LAN door of a controller.
func (l *Lab) Door(t Target) (Door, error) {
	var a netip.AddrPort
	switch {
	case t.Shelf && !l.Topology.LAN.Off:
		a = l.ManagerLAN()
	case t.Node != nil && t.Node.LAN.On():
		a = l.NodeLANNow(*t.Node)
	case t.Shelf || t.Node != nil:
		return Door{}, l.noDoor("%s has no LAN door: shelf.yaml says so", t)
	default:
		return Door{}, l.noDoor("%s has no LAN door", t)
	}
	if !a.IsValid() {
		return Door{}, problem.NotFoundf("midplane up --shelf "+l.Name+" opens it", "%s has no LAN door yet", t)
	}
	return Door{t, a, node.LANUser, l.passwordPath(t)}, nil
}

func (l *Lab) noDoor(format string, args ...any) error {
	do := "this shelf has none at all: see lan in shelf.yaml"
	if all := l.Doors(); len(all) > 0 {
		var names []string
		for _, d := range all {
			names = append(names, d.Target.Name)
		}
		do = "these have one: " + strings.Join(names, ", ")
	}
	return problem.NotFoundf(do, format, args...)
}

// Doors are all LAN doors of the shelf, its manager's first.
func (l *Lab) Doors() (all []Door) {
	for _, d := range l.lanDoors() {
		if d.target.Node != nil {
			d.addr = l.NodeLANNow(*d.target.Node)
		}
		all = append(all, Door{d.target, d.addr, node.LANUser, l.passwordPath(d.target)})
	}
	return all
}

// Ping asks the door for a sign of life.
func (d Door) Ping(ctx context.Context) error { return ping(ctx, d.Address) }

// Password reads the administrator's password.
func (d Door) Password() (string, error) {
	text, err := os.ReadFile(d.PasswordFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", problem.NotFoundf("midplane up makes it", "the password of %s is not there: %s", d.Target, d.PasswordFile)
	}
	return strings.TrimRight(string(text), "\r\n"), err // spaces are part of it
}

// SetDoorPassword notes the password that the administrator of a controller has
// now, and in the file for FreeIPMI's tools if there is one.
func (l *Lab) SetDoorPassword(t Target, password string) error {
	path := l.passwordPath(t)
	if err := jsonfile.Replace(path, []byte(password+"\n")); err != nil {
		return err
	}
	d, err := l.Door(t)
	if err != nil || !exists(freeIPMIPath(d)) {
		return nil // without a door nobody has written one
	}
	_, err = l.FreeIPMI(d)
	return err
}

func freeIPMIPath(d Door) string { return filepath.Join(filepath.Dir(d.PasswordFile), "freeipmi.conf") }

// FreeIPMI writes a configuration file for FreeIPMI's tools, which the door's
// own address is not part of, and gives its path.
func (l *Lab) FreeIPMI(d Door) (string, error) {
	password, err := d.Password()
	if err != nil {
		return "", err
	}
	path := freeIPMIPath(d)
	text := fmt.Sprintf("# %s of shelf %s\ndriver-type LAN_2_0\nusername %s\npassword %s\nprivilege-level ADMIN\n", d.Target, l.Name, d.User, password)
	return path, jsonfile.Replace(path, []byte(text))
}
