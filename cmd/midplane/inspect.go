package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/internal/problem"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// inspectView is everything about one target. Of the two parts only the one of
// the target's kind is there.
type inspectView struct {
	Shelf *shelfDetail `json:"shelf,omitempty"`
	Node  *nodeDetail  `json:"node,omitempty"`
}

type shelfDetail struct {
	*shelfView
	Cluster *clusterView   `json:"cluster,omitempty"`
	State   string         `json:"state_dir"`
	APIs    []lab.Endpoint `json:"apis"`
}

type nodeDetail struct {
	slotView
	Profile    string       `json:"profile,omitempty"`
	Instance   string       `json:"instance,omitempty"`
	Boot       uint64       `json:"boot,omitempty"`
	Epoch      uint64       `json:"epoch,omitempty"`
	DeviceID   string       `json:"device_id,omitempty"` // hex, as Get Device ID gives it
	SystemGUID string       `json:"system_guid,omitempty"`
	Version    string       `json:"version,omitempty"`
	Connected  bool         `json:"system_interface_connected"`
	Outbox     uint64       `json:"outbox_pending"`
	Uplinks    []uplinkView `json:"uplinks"`
	API        string       `json:"api"`
	VMSocket   string       `json:"vm_socket"`
	Console    string       `json:"console_log"`
	Command    []string     `json:"command_line"` // of QEMU
}

type uplinkView struct {
	Replica   string `json:"replica"`
	Address   string `json:"address"`
	Plane     string `json:"plane"` // A or B
	Connected bool   `json:"connected"`
	Leader    bool   `json:"leader"`
	Error     string `json:"error,omitempty"`
}

func (a *app) inspectVerb() *cobra.Command {
	return &cobra.Command{
		Use:               "inspect [TARGET]",
		Short:             "Show everything about the shelf or one node",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.lab()
			if err != nil {
				return err
			}
			t, err := l.ResolveTarget(append(args, "shelf")[0])
			if err != nil {
				return err
			}
			v, err := inspect(cmd.Context(), l, t)
			if err != nil {
				return err
			}
			return a.print(v, v.table)
		},
	}
}

func inspect(ctx context.Context, l *lab.Lab, t lab.Target) (*inspectView, error) {
	seen, err := lookAt(ctx, l)
	if err != nil {
		return nil, err
	}
	if t.Shelf {
		d := &shelfDetail{shelfView: seen, State: l.StateDir, APIs: l.ReplicaAPIs()}
		rs, err := dialReplicas(l)
		if err != nil {
			return nil, err
		}
		defer rs.close()
		d.Cluster, _ = rs.members(ctx) // the list of replicas says already that none answers
		return &inspectView{Shelf: d}, nil
	}
	for _, s := range seen.Slots {
		if s.Address == t.Addr.String() {
			return &inspectView{Node: detail(l, t, s)}, nil
		}
	}
	return nil, problem.NotFoundf("midplane ps shows what is there", "nothing is known of %s", t)
}

// detail puts together what shelf.yaml, the shelf and the node say of a slot.
func detail(l *lab.Lab, t lab.Target, s slotView) *nodeDetail {
	d := &nodeDetail{slotView: s, Uplinks: []uplinkView{}, Command: []string{}}
	if t.Node != nil {
		d.Profile = t.Node.Profile
		d.API = l.NodeAPI(t.Name).Unix
		if !t.Node.FanTray() {
			d.VMSocket, d.Console = l.VMSocket(*t.Node), l.ConsolePath(t.Name)
		}
	}
	if s.slot != nil {
		d.Instance, d.Boot, d.Epoch = uuidText(s.slot.Instance), s.slot.Boot, s.slot.Epoch
		d.DeviceID = fmt.Sprintf("% x", s.slot.DeviceId)
	}
	if st := s.status; st != nil {
		d.Profile, d.Version, d.Connected, d.Outbox = st.Profile, st.Version, st.VmLink, st.OutboxPending
		d.Instance, d.Boot, d.SystemGUID = uuidText(st.Instance), st.Boot, uuidText(st.SystemGuid)
		d.Command = append(d.Command, st.CommandLine...)
		for _, u := range st.Uplinks {
			d.Uplinks = append(d.Uplinks, uplinkOf(u))
		}
	}
	return d
}

func uplinkOf(u *v1.UplinkStatus) uplinkView {
	v := uplinkView{Replica: u.Replica, Address: u.Address, Connected: u.Connected, Leader: u.Leader, Error: u.Error, Plane: "A"}
	if u.Plane == v1.Plane_PLANE_B {
		v.Plane = "B"
	}
	return v
}

func uuidText(b []byte) string {
	id, err := uuid.FromBytes(b)
	if err != nil {
		return ""
	}
	return id.String()
}

func (v *inspectView) table(t *table) {
	if v.Shelf != nil {
		v.Shelf.rows(t)
		return
	}
	v.Node.rows(t)
}

func (d *shelfDetail) rows(t *table) {
	state, health := d.manager()
	t.row("shelf", d.shelfView.Shelf)
	t.row("shelf manager", state+" ("+health+")")
	t.row("LAN door", d.LAN)
	if d.Cluster != nil {
		t.row("cluster", d.Cluster.Cluster)
		for _, m := range d.Cluster.Members {
			reach := fmt.Sprintf("applied %d of %d", m.Applied, m.Last)
			if !m.Reachable {
				reach = "not reachable"
			}
			t.row("replica "+m.Name, fmt.Sprintf("%s, %s, %s", m.Address, m.Role, reach))
		}
	}
	for _, e := range d.APIs {
		t.row("API of "+e.Name, e.Unix)
	}
	t.row("state", d.State)
	for _, s := range d.Slots {
		t.row(fmt.Sprintf("slot %d", s.Slot), fmt.Sprintf("%s, %s, %s, power %s, %s", s.Name, s.Address, s.State, orNone(s.Power), orOK(s.Health)))
	}
}

func (d *nodeDetail) rows(t *table) {
	t.row("name", d.Name)
	t.row("slot", d.Slot)
	t.row("address", d.Address)
	t.row("LAN door", d.LAN)
	t.row("state", d.State+since(d.Since))
	t.row("health", orOK(d.Health))
	t.row("profile", d.Profile)
	if d.Interface != "" { // a fan tray has none
		t.row("system interface", d.Interface+connected(d.Connected))
	}
	t.row("power", d.Power)
	t.row("VM", d.VM)
	t.row("instance", fmt.Sprintf("%s, boot %d, epoch %d", orNone(d.Instance), d.Boot, d.Epoch))
	t.row("system GUID", d.SystemGUID)
	t.row("device ID", d.DeviceID)
	t.row("version", d.Version)
	t.row("events waiting", d.Outbox)
	for _, u := range d.Uplinks {
		text := "IPMB-" + u.Plane + ", " + u.Address + connected(u.Connected)
		if u.Leader {
			text += ", leads"
		}
		if u.Error != "" {
			text += ": " + u.Error
		}
		t.row("uplink "+u.Replica, text)
	}
	t.row("API", d.API)
	t.row("VM socket", d.VMSocket)
	t.row("console log", d.Console)
	t.row("QEMU", quoteAll(d.Command))
}

func connected(yes bool) string {
	if yes {
		return ", connected"
	}
	return ", not connected"
}

func since(at *time.Time) string {
	if at == nil {
		return ""
	}
	return " for " + ago(*at, time.Now())
}

func orNone(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// quoteAll writes a command line as a shell reads it.
func quoteAll(argv []string) string {
	out := make([]string, len(argv))
	for i, arg := range argv {
		out[i] = quote(arg)
	}
	return strings.Join(out, " ")
}

// quote quotes an argument where a shell would see more than a word.
func quote(arg string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=,+@%", r)
	}
	if arg != "" && strings.TrimFunc(arg, plain) == "" {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
