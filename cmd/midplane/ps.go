package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// shelfView is a shelf as ps shows it.
type shelfView struct {
	Shelf    string        `json:"shelf"`
	LAN      string        `json:"lan,omitempty"` // IP:PORT of the shelf manager's door
	Leader   string        `json:"leader"`        // empty: none
	Term     uint64        `json:"term"`
	Replicas []replicaView `json:"replicas"`
	Health   []string      `json:"health"` // what is wrong with the shelf manager
	Slots    []slotView    `json:"slots"`
}

// replicaView says whether a replica answers.
type replicaView struct {
	Name  string `json:"name"`
	State string `json:"state"` // leader, follower, catching up, or no answer
}

// slotView is one slot, as the shelf and its node see it.
type slotView struct {
	Slot      int        `json:"slot"`
	Name      string     `json:"name"`
	Address   string     `json:"address"`
	LAN       string     `json:"lan,omitempty"` // IP:PORT of its own door
	State     string     `json:"state"`         // present, lost, absent; unknown without a replica
	Interface string     `json:"interface,omitempty"`
	Power     string     `json:"power,omitempty"` // on, off
	VM        string     `json:"vm,omitempty"`
	Since     *time.Time `json:"since,omitempty"` // of State
	Health    []string   `json:"health"`          // what is wrong

	slot   *v1.Slot
	status *v1.NodeStatusResponse
}

// States of a replica.
const (
	replicaLeads   = "leader"
	replicaFollows = "follower"
	replicaBehind  = "catching up" // it runs, and has not learnt of the shelf yet
	replicaSilent  = "no answer"
)

// doorPatience is how long a leader may take to answer at the shelf's LAN door.
const doorPatience = 3 * time.Second

func (a *app) psVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "ps",
		Short: "Show the slots, their VMs and how they are",
		Long: `Show the slots of the shelf, their VMs and how they are. What does not answer
is said in its row.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.lab()
			if err != nil {
				return err
			}
			v, err := lookAt(cmd.Context(), l)
			if err != nil {
				return err
			}
			return a.print(v, v.table)
		},
	}
}

// lookAt asks all daemons of a shelf how they are.
func lookAt(ctx context.Context, l *lab.Lab) (*shelfView, error) {
	rs, err := dialReplicas(l)
	if err != nil {
		return nil, err
	}
	defer rs.close()
	var nodes []daemon
	defer func() { replicas(nodes).close() }()
	for _, n := range l.Topology.Nodes {
		d, err := dialNode(l, n.Name)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, d)
	}
	said := make(chan []answer[*v1.NodeStatusResponse], 1)
	go func() {
		said <- askAll(ctx, nodes, func(ctx context.Context, d daemon) (*v1.NodeStatusResponse, error) {
			return d.node().Status(ctx, &v1.NodeStatusRequest{})
		})
	}()
	v := &shelfView{Shelf: l.Name}
	if a := l.ManagerLAN(); a.IsValid() {
		v.LAN = a.String()
	}
	v.replicas(rs.settled(ctx, l.Name))
	what, do := l.FrontTrouble()
	if v.Leader != "" {
		what, do = l.DoorTrouble(ctx, doorPatience)
	}
	if what != "" {
		v.Health = append(v.Health, "its LAN door is shut, "+what+": "+do)
	}
	v.declared(l)
	for _, s := range <-said {
		v.node(s)
	}
	return v, nil
}

// replicas takes over what the replicas said.
func (v *shelfView) replicas(all []answer[*v1.ListSlotsResponse]) {
	best := newest(all)
	if best != nil {
		v.Term = best.value.Term
		if best.value.Leader == best.from.Name {
			v.Leader = best.from.Name
		}
		for _, s := range best.value.Slots {
			v.Slots = append(v.Slots, slotOf(s))
		}
	}
	v.Health = []string{}
	if v.Leader == "" {
		v.Health = append(v.Health, "no leader")
	}
	for _, a := range all {
		r := replicaView{Name: a.from.Name, State: replicaFollows}
		switch {
		case status.Code(a.err) == codes.NotFound:
			r.State = replicaBehind
			v.Health = append(v.Health, r.Name+" is catching up")
		case a.err != nil:
			r.State = replicaSilent
			v.Health = append(v.Health, a.from.silence(r.Name+" does not answer"))
		case r.Name == v.Leader:
			r.State = replicaLeads
		}
		v.Replicas = append(v.Replicas, r)
	}
}

// silence is why a daemon does not answer, and what to do, where that is known;
// else what is seen of it.
func (d daemon) silence(seen string) string {
	if what, do := d.lab.Trouble(d.Endpoint); what != "" {
		return what + ": " + do
	}
	return seen
}

func slotOf(s *v1.Slot) slotView {
	out := slotView{
		Slot: int(s.Slot), Name: s.Name, Address: ipmb.Addr(s.Address).String(), State: presence(s.Presence),
		Health: []string{}, slot: s,
	}
	if at := moment(s.Since); !at.IsZero() {
		out.Since = &at
	}
	return out
}

func presence(p v1.PresenceState) string {
	switch p {
	case v1.PresenceState_PRESENCE_STATE_PRESENT:
		return "present"
	case v1.PresenceState_PRESENCE_STATE_LOST:
		return "lost"
	case v1.PresenceState_PRESENCE_STATE_ABSENT:
		return "absent"
	}
	return "unknown"
}

// declared adds the slots of shelf.yaml that no replica spoke of.
func (v *shelfView) declared(l *lab.Lab) {
	for _, n := range l.Topology.Nodes {
		i := slices.IndexFunc(v.Slots, func(s slotView) bool { return s.Slot == n.Slot })
		if i < 0 {
			i = len(v.Slots)
			v.Slots = append(v.Slots, slotView{Slot: n.Slot, Address: n.Addr().String(), State: "unknown", Health: []string{}})
		}
		v.Slots[i].Name, v.Slots[i].Interface = n.Name, n.Interface
		if a := l.NodeLANNow(n); a.IsValid() {
			v.Slots[i].LAN = a.String()
		}
	}
	slices.SortStableFunc(v.Slots, func(a, b slotView) int { return a.Slot - b.Slot })
}

// node takes over what a node said, or that it said nothing.
func (v *shelfView) node(a answer[*v1.NodeStatusResponse]) {
	i := slices.IndexFunc(v.Slots, func(s slotView) bool { return s.Name == a.from.Name })
	if i < 0 {
		return
	}
	s := &v.Slots[i]
	if a.err != nil {
		s.Health = append(s.Health, a.from.silence("its node does not answer: "+brief(status.Convert(a.err).Message())))
		return
	}
	st := a.value
	s.status, s.VM, s.Interface = st, st.VmState, st.SystemInterface
	s.Power = powerOf(st.VmState)
	if st.VmState == "crashed" {
		s.Health = append(s.Health, "the VM has crashed")
	}
	s.Health = append(s.Health, linkTrouble(s.Power == "on", st)...)
}

// powerOf says whether a VM in this state has power; "" for one that nobody here
// knows of.
func powerOf(state string) string {
	switch state {
	case "running", "paused", "prelaunch":
		return "on"
	case "none":
		return ""
	}
	return "off"
}

// linkTrouble says what is wrong with a node's connections.
func linkTrouble(on bool, st *v1.NodeStatusResponse) (out []string) {
	if on && !st.VmLink {
		out = append(out, "the VM's system interface is not connected")
	}
	live := 0
	for _, u := range st.Uplinks {
		if u.Connected {
			live++
		}
	}
	if live < len(st.Uplinks) {
		out = append(out, fmt.Sprintf("%d of %d uplinks", live, len(st.Uplinks)))
	}
	if st.OutboxPending > 0 {
		out = append(out, fmt.Sprintf("%d events wait for the shelf", st.OutboxPending))
	}
	return out
}

func (v *shelfView) table(t *table) {
	t.header = []string{"SLOT", "NAME", "ADDRESS", "LAN", "STATE", "IF", "POWER", "VM", "SINCE", "HEALTH"}
	state, health := v.manager()
	t.row("", "shelf", ipmb.AddrShelfManager, v.LAN, state, "", "", "", "", health)
	now := time.Now()
	for _, s := range v.Slots {
		since := ""
		if s.Since != nil {
			since = ago(*s.Since, now)
		}
		t.row(s.Slot, s.Name, s.Address, s.LAN, s.State, s.Interface, s.Power, s.VM, since, orOK(s.Health))
	}
}

// manager tells how the shelf manager is.
func (v *shelfView) manager() (state, health string) {
	if v.Leader == "" {
		return "absent", strings.Join(v.Health, "; ")
	}
	lead := fmt.Sprintf("%s leads, term %d", v.Leader, v.Term)
	return "present", strings.Join(append([]string{lead}, v.Health...), "; ")
}

func orOK(health []string) string {
	if len(health) == 0 {
		return "ok"
	}
	return strings.Join(health, "; ")
}
